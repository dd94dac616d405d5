{% test adds_up(model, other, columns, date_column) %}
with own as (
    select {{ date_column }}{% for column in columns %}, sum({{ column }}) as {{ column }}{% endfor %}
    from {{ model }}
    where {{ in_built_days(model.identifier, date_column) }}
    group by {{ date_column }}
),

others as (
    select {{ date_column }}{% for column in columns %}, sum({{ column }}) as {{ column }}{% endfor %}
    from {{ other }}
    where {{ in_built_days(model.identifier, date_column) }}
    group by {{ date_column }}
)

select
    coalesce(own.{{ date_column }}, others.{{ date_column }}) as {{ date_column }}
    {%- for column in columns %},
    own.{{ column }},
    others.{{ column }} as other_{{ column }}
    {%- endfor %}
from own
full outer join others on own.{{ date_column }} = others.{{ date_column }}
where
    {% for column in columns %}
    {{ 'or ' if not loop.first }}coalesce(own.{{ column }}, 0) <> coalesce(others.{{ column }}, 0)
    {% endfor %}
{% endtest %}

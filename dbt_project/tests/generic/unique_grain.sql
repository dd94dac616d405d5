{% test unique_grain(model, columns, date_column=none) %}
select
    {{ columns | join(', ') }},
    count(*) as copies
from {{ model }}
{% if date_column %}where {{ in_built_days(model.identifier, date_column) }}{% endif %}
group by {{ columns | join(', ') }}
having count(*) > 1
{% endtest %}

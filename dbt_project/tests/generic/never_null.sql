{# One test for all of them: each test costs its own overhead. #}
{% test never_null(model, columns, date_column=none) %}
select {{ columns | join(', ') }}
from {{ model }}
where
    ({{ columns | join(' is null or ') }} is null)
    {% if date_column %}and {{ in_built_days(model.identifier, date_column) }}{% endif %}
{% endtest %}

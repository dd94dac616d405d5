-- One row per built day of a model that needs the identities as known at the day's end, including days without people.
{%- set days = [] %}
{%- for model in ['identities', 'retention', 'funnels'] %}
    {%- do days.extend(built_days(model) or []) %}
{%- endfor %}

with days (as_of_day) as (

    values
    {%- for day in days | unique | sort %}
        ('{{ day }}'),
    {%- endfor %}
    (null)

)

select cast(as_of_day as date) as as_of_date
from days
where as_of_day is not null

-- One row per day to be built of a model that asks who was who at the day's end. A day without anybody has one as well.
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

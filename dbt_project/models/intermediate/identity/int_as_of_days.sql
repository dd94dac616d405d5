-- One row per day to be built of a model that asks who was who at the day's end. A day without anybody has one as well.
select built_date as as_of_date
from ({{ built_day_rows(['identities', 'retention', 'funnels']) }}) as built_days

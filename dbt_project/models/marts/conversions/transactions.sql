-- One row per event that names a transaction, and is a conversion or a refund by its type: what later days compare
-- theirs with. It belongs to the day of the event (UTC), whatever its session.
{{ config(
    partition_by='event_date',
    sort_by=['site_id', 'transaction_id', 'event_ts', 'event_id'],
    neighbour_days=61,
    restates={'before': 0, 'after': 1}
) }}

select
    event_date,
    conversion_id,
    site_id,
    tenant_id,
    transaction_id,
    event_ts,
    event_id,
    conversion_type,
    compared_as,
    kind,
    cast(amount as decimal(18, 4)) as amount,
    currency
from {{ ref('int_conversion_events') }}
where {{ in_built_days('transactions', 'event_date') }} and transaction_id is not null

with given as (

    select
        fact_conversions.session_date,
        fact_conversions.conversion_id,
        fact_conversions.status,
        fact_conversions.revenue,
        models.model
    from {{ ref('fact_conversions') }} as fact_conversions
    cross join (
        values
        ('first'), ('last'), ('last_non_direct'), ('linear'), ('position_based'), ('time_decay'), ('shapley')
    ) as models (model)
    where
        {{ in_built_days('attribution', 'fact_conversions.session_date') }}
        and fact_conversions.status <> 'copy'

),

counted as (

    select
        session_date,
        conversion_id,
        model,
        count(*) as all_rows,
        count(touch_id) as rows_with_touch,
        max(touches) as touches,
        sum(credit) as credit,
        sum(revenue_share) as revenue_share,
        min(credit) as least_credit,
        sum(revenue) as revenue
    from {{ ref('attribution') }}
    where {{ in_built_days('attribution', 'session_date') }}
    group by session_date, conversion_id, model

)

select
    coalesce(given.session_date, counted.session_date) as session_date,
    coalesce(given.conversion_id, counted.conversion_id) as conversion_id,
    coalesce(given.model, counted.model) as model_name,
    given.revenue as given_revenue,
    counted.revenue,
    counted.credit
from given
full outer join counted
    on
        given.session_date = counted.session_date
        and given.conversion_id = counted.conversion_id
        and given.model = counted.model
where
    given.conversion_id is null
    or counted.conversion_id is null
    or given.revenue is distinct from counted.revenue
    or counted.revenue_share <> case when counted.touches = 0 then 0 else 1 end
    or counted.credit <> case when given.status = 'refund' then 0 else counted.revenue_share end
    or counted.all_rows <> case when counted.touches = 0 then 1 else counted.touches end
    or counted.rows_with_touch <> counted.touches
    or counted.least_credit < 0

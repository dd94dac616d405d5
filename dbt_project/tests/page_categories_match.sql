{{ config(severity='warn', meta={'names': 'category'}) }}

select categories.category
from {{ ref('page_categories') }} as categories
left join {{ ref('int_pages') }} as pages
    on categories.category = pages.page_category
where {{ is_own('page_categories') }} and pages.page_category is null
group by categories.category
order by categories.category

{% test gross_is_valid_plus_reasons(model) %}
select *
from {{ model }}
where
    {{ in_window('report_date') }}
    and (
        impressions + clicks <> valid_impressions + valid_clicks + invalid_status + invalid_method + invalid_bot
        + invalid_repeat_click + invalid_click_flood + invalid_click_without_impression
        or impressions <> valid_impressions + invalid_impressions
        or clicks <> valid_clicks + invalid_clicks
        or invalid_impressions < 0
        or invalid_clicks < 0
    )
{% endtest %}

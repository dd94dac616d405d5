"""The marts that Python code names. All others are known from dbt's manifest and the files of the lake."""

from __future__ import annotations

from ingest.lake.layout import Mart

DAILY_AGGREGATES = Mart("daily_aggregates", "report_date")
CAMPAIGN_PERFORMANCE = Mart("campaign_performance", "report_date")
CAMPAIGN_TRENDS = Mart("campaign_trends", "report_date")
SESSIONS = Mart("sessions", "session_date")

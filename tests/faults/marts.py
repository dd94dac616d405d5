"""Two versions of a day of the mart `daily_aggregates`, for the tests that publish it."""

from __future__ import annotations

from datetime import date
from typing import Any

import pyarrow as pa

from orchestration.publishing.targets.performance_entries import COLUMNS

DAY = "2026-01-12"


def mart(first: int, last: int, clicks: int) -> pa.Table:
    """Rows of orders from `first` to `last`."""
    texts = {
        "campaign_id": "c",
        "publication_code": "p",
        "publication_name": "P",
        "channel": "website",
        "ad_size": "1x1",
    }
    values: dict[str, list[Any]] = {name: [text] * (last - first) for name, text in texts.items()}
    values |= {"report_date": [date.fromisoformat(DAY)] * (last - first), "publication_id": [7] * (last - first)}
    values |= {"order_id": [f"{number:04}" for number in range(first, last)], "creative_id": ["1"] * (last - first)}
    numbers = {
        name: [float(clicks) if name.endswith("ctr") else clicks] * (last - first)
        for name in COLUMNS
        if name not in values
    }
    return pa.table(values | numbers).select(COLUMNS)


BEFORE, AFTER = mart(0, 60, clicks=1), mart(10, 80, clicks=2)  # ten entries go, fifty change, twenty come

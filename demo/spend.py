"""The demo's campaign costs: made-up spend, as exported from ad accounts."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Sequence
from datetime import date

from demo.visits import ORDERS

HEADER = ("spend_date", "order_id", "campaign_id", "publication_code", "creative_id", "channel", "spend", "currency")
# Campaigns that visits name → the channel of these visits.
BOUGHT = {"winter-2026": "Paid Search", "lookalike": "Paid Social"}
CURRENCY = "USD"


def spend_file(days: Sequence[date], seed: int = 7) -> str:
    """CSV with a line for each day and campaign: display campaigns with their order, bought visits with their
    channel."""
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(HEADER)
    for day in days:
        rng = random.Random(f"spend {seed} {day}")
        for order, campaigns in ORDERS.items():
            for campaign in campaigns:
                writer.writerow((day, order, campaign, "", "", "website", f"{rng.uniform(20, 60):.2f}", CURRENCY))
        for campaign, channel in BOUGHT.items():
            writer.writerow((day, "", campaign, "", "", channel, f"{rng.uniform(40, 90):.2f}", CURRENCY))
    return lines.getvalue()

"""What the demo's campaigns cost: made-up spend, as somebody would export it from their ad accounts."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Sequence
from datetime import date

from demo.visits import ORDERS

HEADER = ("spend_date", "order_id", "campaign_id", "publication_code", "creative_id", "channel", "spend", "currency")
# Campaigns that visits name, and the channels that these come in by.
BOUGHT = {"winter-2026": "Paid Search", "lookalike": "Paid Social"}
CURRENCY = "USD"


def spend_file(days: Sequence[date], seed: int = 7) -> str:
    """CSV of a line for each day and campaign: display campaigns by order, bought visits by channel."""
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

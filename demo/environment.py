"""The embedded services with made-up logs and events, as a set of settings for all other code."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from demo import event_files
from demo.browsing import ad_clicks
from demo.event_files import EventDay
from demo.services import embedded_mongodb, embedded_s3
from demo.traffic import Day, generate_bad_day, generate_day, to_s3, write_days
from ingest.lake import layout
from ingest.lake.files import Lake

LOGS_BUCKET = "demo-logs"
LOGS_PREFIX = "access-logs"
EVENTS_PREFIX = "site-logs"
DATABASE = "clicklake"
# Not secret: it protects made-up addresses.
HASH_KEY = "made-up-addresses-need-no-secret"


# The rules of the made-up traffic: its publications.
RULES = Path(__file__).parent / "rules"


@dataclass(frozen=True)
class Environment:
    """The settings of the embedded services, and a client of their S3."""

    settings: dict[str, str]
    s3: Any

    @property
    def put(self) -> Callable[[str, bytes], None]:
        return to_s3(self.s3, LOGS_BUCKET)


@contextmanager
def embedded_environment(folder: Path) -> Iterator[Environment]:
    """Starts both services with their data in a folder, and stops them at the end. The lake is a folder next to
    them."""
    import boto3

    folder.mkdir(parents=True, exist_ok=True)
    with embedded_s3(folder / "s3") as s3, embedded_mongodb(folder / "mongodb") as mongodb:
        client = boto3.client(
            "s3",
            endpoint_url=s3.endpoint_url,
            region_name=s3.region,
            aws_access_key_id=s3.access_key_id,
            aws_secret_access_key=s3.secret_access_key,
        )
        client.create_bucket(Bucket=LOGS_BUCKET)
        settings = {
            "CLICKLAKE_LOGS": f"s3://{LOGS_BUCKET}/{LOGS_PREFIX}",
            "CLICKLAKE_EVENTS": f"s3://{LOGS_BUCKET}/{EVENTS_PREFIX}",
            "CLICKLAKE_LAKE": str(folder / "lake"),
            "CLICKLAKE_HASH_KEY": HASH_KEY,
            "CLICKLAKE_S3_ENDPOINT_URL": s3.endpoint_url,
            "CLICKLAKE_S3_REGION": s3.region,
            "CLICKLAKE_S3_ACCESS_KEY_ID": s3.access_key_id,
            "CLICKLAKE_S3_SECRET_ACCESS_KEY": s3.secret_access_key,
            "CLICKLAKE_MONGODB_URL": mongodb.url,
            "CLICKLAKE_MONGODB_DATABASE": DATABASE,
        }
        yield Environment(settings, client)


def put_rules(lake: Lake) -> None:
    """Puts the demo's rules into a lake, without replacing any that it has."""
    for path in sorted(RULES.iterdir()):
        key = f"{layout.RULES}/{path.name}"
        if not lake.exists(key):
            lake.put_text(path.read_text("utf-8"), key)


@contextmanager
def exported(settings: dict[str, str]) -> Iterator[None]:
    """Sets these settings in the environment of this process, and removes all other settings of Clicklake but how this
    machine reads objects."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("CLICKLAKE_") and name != "CLICKLAKE_READER"]:
        del os.environ[name]
    os.environ.update(settings)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def made_up_days(last: date, count: int, bad: int | None = None) -> list[Day]:
    """Consecutive days up to `last`. The day at position `bad` is a bad one."""
    days = [last - timedelta(days=count - 1 - position) for position in range(count)]
    return [generate_bad_day(day) if position == bad else generate_day(day) for position, day in enumerate(days)]


def made_up_events(days: Sequence[Day], bad: tuple[str, int] | None = None) -> list[EventDay]:
    """The events of three sites on these days. Some visits follow clicks on ads in the days' logs.

    Args:
        bad: a site, and the position of the day on which it sends too many broken lines.
    """
    clicks = {day.day: ad_clicks(day.day) for day in days}
    bad_day = None if bad is None else (bad[0], days[bad[1]].day)
    return event_files.generate_days(days[0].day, len(days), bad=bad_day, clicks=clicks)


def load_events(environment: Environment, days: Sequence[EventDay]) -> int:
    """Puts the days' event objects into the embedded S3. Returns their number."""
    return len(event_files.write_days(days, environment.put))


def load(environment: Environment, days: Sequence[Day], late: bool = False) -> int:
    """Puts the days' objects, or the objects that arrive late, into the embedded S3. Returns their number."""
    write_days(days, environment.put, LOGS_PREFIX, late=late)
    return sum(len(day.late if late else day.objects) for day in days)

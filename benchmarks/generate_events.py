"""Generates a day of events of one site, as hourly gzip JSONL with the same bytes each time; see `ensure_events`.

A day with N events has: four in five pixel events, the rest site events; N/15 visitors, density ~ rank^-1/2, in
sessions of 1 to 11 events, half a minute apart on average; N/40 addresses and 800 user agents; 3,000 pages in each of
40 sections; UTM parameters in one address of five, a gclid in one of twenty; 850 bytes an event, 45 with gzip level 6.
"""

from __future__ import annotations

import gzip
import json
import random
import shutil
import tempfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.generate import DAY

VERSION = 2
SEED = 20_260_112
SITE = "example.com"
PAGES = 3_000
AGENTS = [
    f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{90 + n % 40}.0.{n}.0 "
    "Safari/537.36"
    for n in range(800)
]
REFERRERS = ["https://www.google.com/", "https://www.facebook.com/", "https://news.example.org/a", None, None, None]
TYPES = ["pageview", "pageview", "pageview", "click", "scroll", "page_exit", "form_submit"]


def ensure_events(data_dir: Path, events: int) -> Path:
    """The folder with a day of `events` events. The first call makes it, later calls reuse it."""
    folder = data_dir / f"events-v{VERSION}-{events}"
    if not folder.exists():
        data_dir.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=data_dir, prefix="partial-"))
        try:
            write_events(partial, events)
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return folder


def write_events(folder: Path, events: int) -> None:
    rng = random.Random(SEED)
    year, month, day = DAY.split("-")
    for hour in range(24):
        name = f"domain={SITE}/year={year}/month={month}/day={day}/hour={hour:02}/events-{DAY}-{hour:02}.jsonl.gz"
        path = folder / name
        path.parent.mkdir(parents=True)
        count = events * (hour + 1) // 24 - events * hour // 24
        lines = "".join(json.dumps(event, separators=(",", ":")) + "\n" for event in _hour(rng, hour, count, events))
        path.write_bytes(gzip.compress(lines.encode(), compresslevel=6, mtime=0))


def _hour(rng: random.Random, hour: int, count: int, events: int) -> Iterator[dict[str, Any]]:
    """The events of an hour, in the order of time. They are planned session by session."""
    start = datetime.fromisoformat(f"{DAY}T{hour:02}:00:00")
    planned: list[tuple[int, int]] = []  # (milliseconds into the hour, visitor)
    while len(planned) < count:
        visitor = int(rng.random() ** 2 * events / 15)
        at = rng.randrange(3_300_000)
        for _ in range(min(rng.randint(1, 11), count - len(planned))):
            planned.append((min(at, 3_599_999), visitor))
            at += rng.randrange(60_000)
    for number, (milliseconds, visitor) in enumerate(sorted(planned)):
        page = f"/section{visitor % 40}/page{rng.randrange(PAGES)}"
        time = (start + timedelta(milliseconds=milliseconds)).isoformat(timespec="milliseconds") + "Z"
        event = _pixel if visitor % 5 else _site
        yield event(rng, visitor, hour, page, time, number)


def _landing(rng: random.Random, page: str) -> str:
    chance = rng.random()
    if chance < 0.2:
        return f"https://{SITE}{page}?utm_source=google&utm_medium=cpc&utm_campaign=campaign{int(chance * 100)}"
    return f"https://{SITE}{page}" + (f"?gclid=Cj{rng.getrandbits(64):x}" if chance < 0.25 else "")


def _address(visitor: int) -> str:
    address = visitor * 3 // 8
    return f"85.{address >> 14 & 127}.{address >> 7 & 127}.{address & 127}"


def _pixel(rng: random.Random, visitor: int, hour: int, page: str, time: str, number: int) -> dict[str, Any]:
    return {
        "eventType": rng.choice(TYPES),
        "timestamp": time,
        "sessionId": f"sess_{visitor:x}{hour:02}",
        "visitorId": f"vis_{visitor:012x}",
        "siteId": "example-com",
        "url": _landing(rng, page),
        "path": page,
        "ip": _address(visitor),
        "page": {"title": f"Page {page}", "referrer": rng.choice(REFERRERS), "queryParams": "", "hash": ""},
        "attribution": {
            "firstTouch": {
                "source": "google",
                "medium": "cpc",
                "campaign": "summer-sale",
                "category": "paid_search",
                "utmParams": {"utm_source": "google", "utm_medium": "cpc", "utm_campaign": "summer-sale"},
            }
        },
        "browser": {
            "userAgent": AGENTS[visitor % len(AGENTS)],
            "language": "en-US",
            "screenWidth": 1920,
            "screenHeight": 1080,
            "viewportWidth": 1440,
            "viewportHeight": 900,
            "devicePixelRatio": 2,
            "timezone": "America/Chicago",
        },
        "eventData": {"depth": number % 100},
    }


def _site(rng: random.Random, visitor: int, hour: int, page: str, time: str, number: int) -> dict[str, Any]:
    return {
        "event_id": f"evt_{hour:02}{number:08}",
        "user_id": f"c{visitor}" if visitor % 3 else None,
        "session_id": f"sess_{visitor:x}{hour:02}",
        "visitor_id": f"visitor_{visitor:012x}",
        "event_type": "page_view",
        "page_url": _landing(rng, page),
        "user_agent": AGENTS[visitor % len(AGENTS)],
        "ip": _address(visitor),
        "event_data": {"title": f"Page {page}", "referrer": rng.choice(REFERRERS), "number": number},
        "timestamp": time,
    }

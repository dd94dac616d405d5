"""Event objects of made-up days, with the faults of real ones. The same seed gives the same bytes each time.

browsing.py makes the visits. This module writes them in the four shapes of events, as hourly JSONL objects, and counts
the truth about them, with which a pipeline's results can be compared.

Every site and day has, on purpose (the constants below give the numbers):
- lines that are sent twice, some in a later object; the shop's copies differ, but have the same event id;
- lines of the day before, sent again; for the magazine, a whole object delivered twice;
- unusable lines of each kind in BROKEN_LINES;
- an object without compression, and one without its last newline; for the shop, one that is a JSON array;
- events of the day before, from apps that were offline, and from clocks that are ahead.

A site's day can also be bad as a whole: half its lines after DEPLOY_HOUR are then cut off.
"""

from __future__ import annotations

import gzip
import json
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone
from ipaddress import ip_network
from itertools import pairwise
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from demo.browsing import (
    DAY,
    HOUR,
    LOST_IDS,
    MAGAZINE,
    SEED,
    SESSION_GAP,
    SHOP,
    SITES,
    TIMEZONES,
    ZERO_ID,
    Click,
    Event,
    Message,
    Site,
    World,
    messages_of_day,
)

LEAST_SCALE = 0.4  # below it, the broken lines alone would make every day bad
SENT_TWICE, SENT_AGAIN_NEXT_DAY = 8, 3
REDELIVERED_HOUR, PLAIN_HOUR, ARRAY_HOUR, NO_NEWLINE_HOUR = 18, 19, 20, 21
DEPLOY_HOUR = 12  # of a bad day
CUT_LINE = "cut_line"  # the kind of a bad day's broken lines

Fields = dict[str, Any]

# Kind of broken line → how it is made from a good line. Batches are never broken.
BROKEN_LINES: dict[str, Callable[[Message], str]] = {
    "broken_json": lambda message: _text(fields_of(message))[:-20],
    "no_object": lambda message: _text(list(fields_of(message).values())),
    "unknown_shape": lambda message: _text({"level": "info", "message": "flushed 12 events", "time": message.at}),
    "wrong_type": lambda message: _text(_with_event_type(fields_of(message), {"name": "click"})),
    "bad_timestamp": lambda message: _text(fields_of(message) | {"timestamp": "Invalid Date"}),
    "future": lambda message: _text(fields_of(message) | {"timestamp": utc(message.received + 2 * DAY + HOUR)}),
    "too_old": lambda message: _text(fields_of(message) | {"timestamp": utc(0)}),  # a clock that was never set
}


class Kept(NamedTuple):
    """An event that should reach the lake."""

    site: str
    id: str  # the same in all copies
    visitor: str
    kind: str
    at: int

    @property
    def event_date(self) -> date:
        return datetime.fromtimestamp(self.at / 1000, UTC).date()


@dataclass(frozen=True)
class Truth:
    """The truth about the objects of one site and day of receipt. A batch counts as its events."""

    site: str
    day: date
    objects: int = 0
    lines: int = 0
    events: int = 0  # in usable lines
    duplicates: int = 0  # events that occurred in this day's objects before
    rejects: dict[str, int] = field(default_factory=dict)  # lines, by kind
    kept: tuple[Kept, ...] = ()  # the events without duplicates


class Session(NamedTuple):
    site: str
    visitor: str
    start: int
    end: int
    events: int

    @property
    def day(self) -> date:
        return datetime.fromtimestamp(self.start / 1000, UTC).date()


@dataclass(frozen=True)
class EventDay:
    """The objects that are received on a day, by key, and the truth about the objects of each site."""

    day: date
    objects: dict[str, bytes]
    truths: dict[str, Truth]  # by domain


@dataclass(frozen=True)
class Line:
    text: str
    message: Message | None = None  # None: broken
    broken: str | None = None  # its kind


Hours = dict[int, list[Line]]


def generate_days(
    first: date,
    count: int,
    seed: int = SEED,
    scale: float = 1.0,
    bad: tuple[str, date] | None = None,
    clicks: Mapping[date, Iterable[Click]] | None = None,
) -> list[EventDay]:
    """Consecutive days of all sites, about 3,000 events each at scale 1. Nobody visits before the first day.

    Messages that are received after the last day are left out. A longer series of days begins with the same bytes.

    Args:
        bad: domain and day of a bad day.
        clicks: clicks on ads by day, as from browsing.ad_clicks(…). Visits to the shop follow them.

    Raises:
        ValueError: a scale below LEAST_SCALE, which is too small for all faults; or `bad` names no such site and day.
    """
    if scale < LEAST_SCALE:
        raise ValueError(f"scale={scale}: a day of events needs at least {LEAST_SCALE}")
    world, clicks = World(seed, scale), clicks or {}
    days = [first + timedelta(days=n) for n in range(count)]
    sent = [message for day in days for message in messages_of_day(world, day, clicks.get(day, ()))]
    received = {(site.domain, day): Hours() for day in days for site in SITES}
    if bad and bad not in received:
        raise ValueError(f"bad={bad}: no such site and day")
    for message in sorted(sent, key=lambda message: (message.received, message.id)):
        moment = datetime.fromtimestamp(message.received / 1000, UTC)
        if moment.date() <= days[-1]:
            line = Line(_text(fields_of(message)), message)
            received[message.visit.site.domain, moment.date()].setdefault(moment.hour, []).append(line)
    return [_event_day(day, received, seed, bad) for day in days]


def _event_day(day: date, received: dict[tuple[str, date], Hours], seed: int, bad: tuple[str, date] | None) -> EventDay:
    objects: dict[str, bytes] = {}
    truths: dict[str, Truth] = {}
    for site in SITES:
        before = received.get((site.domain, day - timedelta(days=1)), {})
        rng = random.Random(f"files {seed} {day} {site.domain}")
        hours = _with_faults(rng, received[site.domain, day], before)
        if bad == (site.domain, day):
            hours = _with_cut_lines(hours)
        files = [file for hour, lines in sorted(hours.items()) for file in _files(site, day, hour, lines)]
        objects |= {file.key: file.body for file in files}
        truths[site.domain] = _truth(site, day, files)
    return EventDay(day, objects, truths)


def expected_events(truths: Iterable[Truth]) -> list[Kept]:
    """The events of all these truths together. An event that was received on several days counts once."""
    return list({(event.site, event.id): event for truth in truths for event in truth.kept}.values())


def expected_sessions(truths: Iterable[Truth]) -> list[Session]:
    """The sessions of these events. A gap of more than half an hour begins a new session; midnight does not."""
    times: dict[tuple[str, str], list[int]] = {}
    for event in expected_events(truths):
        times.setdefault((event.site, event.visitor), []).append(event.at)
    sessions = []
    for (site, visitor), moments in sorted(times.items()):
        moments.sort()
        breaks = [n for n, (before, after) in enumerate(pairwise(moments), start=1) if after - before > SESSION_GAP]
        for start, end in pairwise([0, *breaks, len(moments)]):
            sessions.append(Session(site, visitor, moments[start], moments[end - 1], end - start))
    return sessions


def write_days(days: Iterable[EventDay], put: Callable[[str, bytes], None], prefix: str = "") -> list[str]:
    """Puts the objects of days under a prefix. `put` comes from traffic.to_folder(…) or to_s3(…). Returns the keys."""
    folder = prefix.strip("/") + "/" if prefix.strip("/") else ""
    objects = {folder + key: body for day in days for key, body in day.objects.items()}
    for key, body in objects.items():
        put(key, body)
    return list(objects)


# ---- the four shapes ----


def fields_of(message: Message) -> Fields:
    """The JSON object of a message, in the shape of its visit."""
    return SHAPES[message.visit.shape](message, message.events[-1])


def _pixel(message: Message, event: Event) -> Fields:
    visit, device = message.visit, message.visit.device
    width, height, ratio = device.screen
    url = urlsplit(message.url)
    fields = {
        "eventType": "batch" if message.is_batch else event.kind,
        "timestamp": utc(message.at),
        "sessionId": device.lost_id or f"sess_{visit.id}",
        "visitorId": device.visitor_id(visit.site),
        "siteId": visit.site.domain.replace(".", "-"),
        "userId": message.user_id or None,
        "url": message.url,
        "path": url.path,
        "page": {"title": message.title, "referrer": message.referrer, "queryParams": url.query and f"?{url.query}"},
        "attribution": _attribution(message.url),
        "browser": {
            "userAgent": device.agent,
            "language": device.language,
            "screenWidth": width,
            "screenHeight": height,
            "viewportWidth": width,
            "viewportHeight": height - 120,
            "devicePixelRatio": ratio,
            "timezone": device.timezone,
        },
        "ip": visit.address,
        "optedOut": device.opted_out or None,
        "gpc": device.gpc or None,
        "eventData": None if message.is_batch else event.data or None,
        "events": [_child(message, child) for child in message.events] if message.is_batch else None,
    }
    return _without_none(fields)


def _child(message: Message, event: Event) -> Fields:
    """An event in a batch. An event at the time of the batch has no time of its own."""
    fields = {"eventType": event.kind, "eventData": event.data}
    return fields if event.at == message.at else fields | {"timestamp": utc(event.at)}


def _attribution(url: str) -> Fields | None:
    parameters = dict(parse_qsl(urlsplit(url).query))
    utm = {name: value for name, value in parameters.items() if name.startswith("utm_")}
    named = {name.removeprefix("utm_"): value for name, value in utm.items()}
    return {"firstTouch": named | {"utmParams": utm}} if utm else None


def _site(message: Message, event: Event) -> Fields:
    visit, device = message.visit, message.visit.device
    fields = {
        "event_id": f"evt_{message.id}",
        "user_id": message.user_id or None,
        "session_id": device.lost_id or f"session_{visit.id}",
        "visitor_id": device.visitor_id(visit.site),
        "event_type": event.kind,
        "page_url": message.url,
        "event_data": {"title": message.title, "referrer": message.referrer} | event.data,
        "ip": visit.address,
        "user_agent": device.agent,
        "opted_out": device.opted_out or None,
        "gpc": device.gpc or None,
        "timestamp": utc(event.at),
    }
    return _without_none(fields)


def _app(message: Message, event: Event) -> Fields:
    """An app's event, with its time in the phone's time zone. A tracking link opens in a browser, so it has only a
    cookie."""
    visit, device = message.visit, message.visit.device
    offset = timezone(timedelta(hours=TIMEZONES[device.timezone]))
    common = {
        "ip": visit.address,
        "user_agent": device.agent,
        "opted_out": device.opted_out or None,
        "gpc": device.gpc or None,
        "timestamp": datetime.fromtimestamp(event.at / 1000, offset).isoformat(timespec="milliseconds"),
    }
    if event.kind == "click":
        query = urlsplit(message.url).query
        link = {"cookie_id": device.cookie_id, "url": f"https://go.{visit.site.domain}/get?{query}"}
        link |= {"referrer": message.referrer} | dict(parse_qsl(query)) | event.data
        return _without_none({"event_type": event.kind} | link | common)
    own = {
        "event_type": event.kind,
        "device_id": device.device_id,
        "custom_user_id": message.user_id or None,
        "idfa" if device.is_iphone else "gaid": device.advertising_id,
        "bundle_id": ".".join(reversed(visit.site.domain.split("."))),
        "version": "4.12.0",
        "locale": device.language,
    }
    return _without_none(own | event.data | common)


def _clickstream(message: Message, event: Event) -> Fields:
    device, url = message.visit.device, urlsplit(message.url)
    return {
        "user_id": message.user_id or device.lost_id,
        "created_at": utc(event.at),
        "event": event.kind,
        "page": f"{url.path}?{url.query}" if url.query else url.path,
        "properties": {"title": message.title, "referrer": message.referrer} | event.data,
        "ip": message.visit.address,
        "user_agent": device.agent,
    }


SHAPES: dict[str, Callable[[Message, Event], Fields]] = {
    "pixel": _pixel,
    "site": _site,
    "app": _app,
    "clickstream": _clickstream,
}


def utc(milliseconds: int) -> str:
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _without_none(fields: Fields) -> Fields:
    return {name: value for name, value in fields.items() if value is not None}


def _with_event_type(fields: Fields, value: object) -> Fields:
    return fields | {"eventType" if "eventType" in fields else "event_type": value}


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


# ---- faults ----


def _with_faults(rng: random.Random, hours: Hours, before: Hours) -> Hours:
    """The day's lines with repeated, old and broken lines inserted.

    Batches are never broken, because a batch holds several times and types.
    """
    faulty = {hour: list(lines) for hour, lines in sorted(hours.items())}
    places = [(hour, line.message) for hour, lines in faulty.items() for line in lines if line.message]
    for hour, message in rng.sample(places, SENT_TWICE):
        faulty[_same_or_next(rng, hour, faulty)].append(_copy(message))
    old = [line.message for lines in before.values() for line in lines if line.message]
    for message in rng.sample(old, min(SENT_AGAIN_NEXT_DAY, len(old))):
        faulty[min(faulty)].append(_copy(message))
    # One broken line makes a whole JSON array unreadable.
    breakable = [
        (hour, message)
        for hour, message in places
        if hour != ARRAY_HOUR and not message.is_batch and message.visit.shape != "clickstream"
    ]
    for kind, spoil in BROKEN_LINES.items():
        hour, message = rng.choice(breakable)
        # Never the first line: a bracket there would announce a JSON array.
        faulty[hour].insert(rng.randrange(1, len(faulty[hour]) + 1), Line(spoil(message), broken=kind))
    return faulty


def _same_or_next(rng: random.Random, hour: int, hours: Hours) -> int:
    return hour + 1 if hour + 1 in hours and rng.random() < 0.5 else hour


def _copy(message: Message) -> Line:
    """The same event again. If the shape has event ids, the copy's line differs."""
    fields = fields_of(message)
    return Line(_text(fields | {"retry": 1} if "event_id" in fields else fields), message)


def _with_cut_lines(hours: Hours) -> Hours:
    """Cuts every second line after the deploy in its middle."""
    return {
        hour: [
            Line(line.text[: len(line.text) // 2], broken=CUT_LINE) if hour >= DEPLOY_HOUR and n % 2 else line
            for n, line in enumerate(lines)
        ]
        for hour, lines in hours.items()
    }


# ---- objects and the truth ----


class File(NamedTuple):
    key: str
    body: bytes
    lines: list[Line]


def _files(site: Site, day: date, hour: int, lines: list[Line]) -> Iterable[File]:
    folder = f"site-logs/domain={site.domain}/year={day:%Y}/month={day:%m}/day={day:%d}/hour={hour:02d}"
    key = f"{folder}/events-{day}-{hour:02d}.jsonl"
    if site is SHOP and hour == ARRAY_HOUR and not any(line.broken for line in lines):
        return [File(key, ("[\n" + ",\n".join(line.text for line in lines) + "\n]\n").encode(), lines)]
    body = ("\n".join(line.text for line in lines) + ("" if hour == NO_NEWLINE_HOUR else "\n")).encode()
    plain, packed = File(key, body, lines), File(f"{key}.gz", gzip.compress(body, 6, mtime=0), lines)
    if site is MAGAZINE and hour == REDELIVERED_HOUR:
        return [plain, packed]
    return [plain if hour == PLAIN_HOUR else packed]


def _truth(site: Site, day: date, files: list[File]) -> Truth:
    lines = [line for file in files for line in file.lines]
    events = [event for line in lines if line.message for event in _kept(line.message)]
    kept = {event.id: event for event in events}
    return Truth(
        site=site.domain,
        day=day,
        objects=len(files),
        lines=len(lines),
        events=len(events),
        duplicates=len(events) - len(kept),
        rejects=dict(sorted(Counter(line.broken for line in lines if line.broken).items())),
        kept=tuple(kept.values()),
    )


def _kept(message: Message) -> list[Kept]:
    """A message's events, each with the visitor that it should be attributed to."""
    domain = message.visit.site.domain
    kept = []
    for n, event in enumerate(message.events):
        event_id = f"{message.id}#{n}"
        kind = "page_view" if event.kind == "pageview" else event.kind
        kept.append(Kept(domain, event_id, _visitor(message, event) or f"event:{event_id}", kind, event.at))
    return kept


def _visitor(message: Message, event: Event) -> str:
    """The first valid id, in the order in which a pipeline should trust ids; "" if there is none."""
    visit, device = message.visit, message.visit.device
    if visit.shape == "pixel":
        network = ip_network(f"{visit.address}/{48 if ':' in visit.address else 24}", strict=False)
        browser = f"{device.agent} {device.screen} {device.language} {device.timezone}"
        ids = {"visitor": device.visitor_id(visit.site), "fingerprint": f"{browser}@{network}"}
    elif visit.shape == "site":
        ids = {"visitor": device.visitor_id(visit.site)}
    elif visit.shape == "app" and event.kind == "click":
        ids = {"cookie": device.cookie_id}
    elif visit.shape == "app":
        ids = {"device": device.device_id, "advertising": device.advertising_id, "user": message.user_id}
    else:
        ids = {"user": message.user_id}
    known = (f"{name}:{value}" for name, value in ids.items() if value not in ("", ZERO_ID, *LOST_IDS))
    return next(known, "")

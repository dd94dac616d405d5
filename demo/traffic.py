"""Access logs of made-up days, with the faults of real ones. The same seed gives the same bytes each time.

A day is a set of CloudFront standard logs and the truth about them, with which a pipeline's results can be compared.
visits.py makes the requests; this module turns them into log lines and objects.

Every day has, on purpose (the constants below give the numbers):
- requests that are in two objects, and two equal lines without a request id, which are two requests;
- one object that arrives a day late under its own old date, with a few requests that are already known;
- unusable lines of each kind in BROKEN_LINES;
- an object that is empty, one with only a header, one with two gzip members, one that is cut off in the middle;
- requests of the next day's first second in an object of hour 23;
- a click flood, an impatient clicker, robots, tags that lack a parameter, unmapped publications;
- e-mail addresses and phone numbers in query strings and referrers; number fields that hold no number.
"""

from __future__ import annotations

import base64
import random
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from demo import visits
from demo.visits import Placement, Request, Visitor, World
from ingest.schema import ACCESS_LOG_FIELDS

DISTRIBUTION = "E1DEMOTRAFFIC0"
ROWS = 25_000
LEAST_ROWS = 2_000
SEED = 7
HEADER = f"#Version: 1.0\n#Fields: {' '.join(ACCESS_LOG_FIELDS)}\n".encode()
OBJECTS_PER_HOUR = 3

DUPLICATES = 40
WITHOUT_ID = 2
LATE_HOUR, LATE_DUPLICATES = 19, 5
NEXT_DAY_ROWS = 3
UNREADABLE_NUMBERS = 2
HEADER_ONLY_HOUR, EMPTY_HOUR, CUT_HOUR, TWO_MEMBERS_HOUR = 8, 10, 20, 21
DAMAGED_PART = 1  # the hour's object that is late, cut off, has two members, or has bad numbers

FLOOD_ADDRESS, FLOOD_CLICKS, FLOOD_SECONDS = "203.0.113.250", 60, 180
REPEAT_ADDRESS, REPEAT_CLICKS, REPEAT_GAP = "203.0.113.251", 8, 3
DEPLOY_HOUR = 2  # of the bad day: its lines are unusable from this hour on

# Kind of broken line → (ingest's reason to reject it, how it is made from a good line).
BROKEN_LINES: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "wrong_date": ("bad_timestamp", lambda line: b"20yy-01-12" + line[10:]),
    "wrong_time": ("bad_timestamp", lambda line: line[:11] + b"27:61:00" + line[19:]),
    "old_date": ("out_of_range", lambda line: b"1999-12-31" + line[10:]),
    "too_few_fields": ("missing_path", lambda line: b"\t".join(line.split(b"\t")[:5])),
    "no_status": ("bad_status", lambda line: _with_field(line, "sc-status", b"-")),
    "empty": ("empty_line", lambda _: b""),
    "garbage": ("bad_timestamp", lambda _: bytes(range(0x80, 0x100)) + b"\x01\x02\x03"),
}
BROKEN_OF_EACH = 2
CUT_LINE = "cut_off"  # the kind and ingest's reason of the last line in the cut object
SPACE_SEPARATED = "space_separated"  # kind of a bad day's lines after the deploy; ingest: bad_timestamp

# The lake must not contain any of these.
EMAILS = ("ann.lee@example.com", "bob+news@example.org", "carla_diaz@mail.example.net")
PHONES = ("+1-312-555-0143", "+1-773-555-0178")

# CloudFront logs these characters of a path, query or header as they are, and writes all others, even %, as %XX.
LOGGED_AS_IS = "!$&()*+,-./:;=?@_"


class AdRequest(NamedTuple):
    """A kept click or impression, for comparison with aggregates."""

    event_date: date
    placement: Placement
    is_click: bool
    address: str


class Measures(NamedTuple):
    """Gross measures of one row of daily_aggregates."""

    impressions: int
    clicks: int
    unique_clicks: int
    unique_ips: int


@dataclass(frozen=True)
class Truth:
    """The truth about the objects of one source day: read = kept + broken + duplicates."""

    objects: int = 0
    rows_read: int = 0
    rows_kept: int = 0
    duplicates: int = 0
    next_day_rows: int = 0  # kept rows that belong to the next day
    broken: dict[str, int] = field(default_factory=dict)  # by kind
    ad_requests: tuple[AdRequest, ...] = ()

    @property
    def impressions(self) -> int:
        return sum(not request.is_click for request in self.ad_requests)

    @property
    def clicks(self) -> int:
        return sum(request.is_click for request in self.ad_requests)


@dataclass(frozen=True)
class Day:
    """The objects of a day by key: those that exist at its end, and those that arrive a day later."""

    day: date
    objects: dict[str, bytes]
    late: dict[str, bytes]
    truth: Truth  # of `objects`
    truth_with_late: Truth  # of `objects` and `late`


@dataclass(frozen=True)
class Line:
    """A line of a log and its expected result."""

    text: bytes
    request: Request | None = None  # None: broken, or a duplicate
    broken: str | None = None  # its kind


Part = tuple[int, int]  # hour, number in the hour: one object


def generate_day(day: date, seed: int = SEED, rows: int = ROWS) -> Day:
    """A day with all faults of the list above: about `rows` lines on a working day, fewer at the weekend.

    Raises:
        ValueError: fewer than LEAST_ROWS rows, which are too few for all faults.
    """
    if rows < LEAST_ROWS:
        raise ValueError(f"rows={rows}: a day of traffic needs at least {LEAST_ROWS:,}")
    rng = random.Random(f"{seed} {day}")
    world = World(seed, rows)
    requests = [*visits.requests_of_day(world, rng, day, rows), *_click_patterns(world, rng)]
    requests += [*_private_requests(world, rng), *_next_day(requests)]
    parts = _parts(day, rng, requests)
    late = {key: parts.pop(key) for key in [(LATE_HOUR, DAMAGED_PART)]}
    late[LATE_HOUR, DAMAGED_PART] += _repeated(rng, parts[LATE_HOUR, 0], LATE_DUPLICATES)
    _spoil_numbers(parts[17, DAMAGED_PART])
    _repeat_in_next_object(rng, parts)
    _add_equal_lines(parts[18, 0])
    _add_broken_lines(rng, parts)
    cut = (CUT_HOUR, DAMAGED_PART)
    parts[cut] = _lines_before_cut(parts[cut])
    parts = {part: lines for part, lines in parts.items() if lines}
    parts[HEADER_ONLY_HOUR, OBJECTS_PER_HOUR] = []
    truth = _truth(day, parts)
    objects = {_key(day, part): _body(part, lines) for part, lines in sorted(parts.items())}
    objects[_key(day, (EMPTY_HOUR, OBJECTS_PER_HOUR))] = b""
    truth = replace(truth, objects=len(objects))
    return Day(
        day,
        objects,
        {_key(day, part): _body(part, lines) for part, lines in late.items()},
        truth,
        _sum(truth, _truth(day, late)),
    )


def generate_bad_day(day: date, seed: int = SEED, rows: int = ROWS) -> Day:
    """A day on which a deploy at DEPLOY_HOUR began to write lines with spaces instead of tabs. Most lines are lost."""
    rng = random.Random(f"bad {seed} {day}")
    requests = visits.requests_of_day(World(seed, rows), rng, day, rows)
    parts = {part: lines for part, lines in _parts(day, rng, requests).items() if lines}
    for (hour, _), lines in parts.items():
        if hour >= DEPLOY_HOUR:
            lines[:] = [Line(line.text.replace(b"\t", b" "), broken=SPACE_SEPARATED) for line in lines]
    truth = _truth(day, parts)
    return Day(day, {_key(day, part): gzipped(lines) for part, lines in sorted(parts.items())}, {}, truth, truth)


def expected_aggregates(truths: Iterable[Truth]) -> dict[tuple[date, Placement], Measures]:
    """The gross measures of daily_aggregates by report date and placement, for all these source days together."""
    impressions: dict[tuple[date, Placement], list[str]] = {}
    clicks: dict[tuple[date, Placement], list[str]] = {}
    for truth in truths:
        for request in truth.ad_requests:
            group = clicks if request.is_click else impressions
            group.setdefault((request.event_date, request.placement), []).append(request.address)
    nothing: list[str] = []
    return {
        key: Measures(len(seen), len(clicked), len(set(clicked)), len(set(seen)))
        for key in impressions.keys() | clicks.keys()
        for seen, clicked in [(impressions.get(key, nothing), clicks.get(key, nothing))]
    }


def write_days(
    days: Iterable[Day], put: Callable[[str, bytes], None], prefix: str = "", late: bool = False
) -> list[str]:
    """Puts the objects of days under a prefix or, with `late`, the objects that arrive a day later. Returns the keys.

    Args:
        put: a function of a key and its bytes, as from to_folder(…) or to_s3(…).
    """
    folder = prefix.strip("/") + "/" if prefix.strip("/") else ""
    objects = {folder + key: body for day in days for key, body in (day.late if late else day.objects).items()}
    for key, body in objects.items():
        put(key, body)
    return list(objects)


def to_folder(folder: Path) -> Callable[[str, bytes], None]:
    """A `put` that writes files below a folder, at the same keys as in S3."""

    def put(key: str, body: bytes) -> None:
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)

    return put


def to_s3(client: Any, bucket: str) -> Callable[[str, bytes], None]:
    """A `put` that uploads with a boto3 client."""

    def put(key: str, body: bytes) -> None:
        client.put_object(Bucket=bucket, Key=key, Body=body)

    return put


# ---- the log ----


def log_line(day: date, request: Request, rng: random.Random) -> bytes:
    """A line with the 33 fields of a version 1 log, separated by tabs."""
    second = request.second % 86_400
    host = "www.clicklake-demo.example" if request.placement is None else "track.clicklake-demo.example"
    result = _result_type(request)
    took = f"{0.001 + rng.random() ** 4:.3f}"
    values = (
        (day + timedelta(days=request.second // 86_400)).isoformat(),
        f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}",
        request.visitor.edge,
        str(request.size + rng.randrange(380, 460)),
        request.visitor.address,
        "GET",
        "d2demotraffic.cloudfront.net",
        _logged(request.path),
        f"{request.status:03d}",
        _logged(request.referrer),
        _logged_agent(request.visitor),
        _logged(request.query) if second % 3 else request.query or "-",  # some edges leave a query's % as it is
        "-",
        result,
        base64.urlsafe_b64encode(rng.randbytes(40)).decode(),
        host,
        "https",
        str(rng.randrange(180, 900)),
        took,
        "-",
        "TLSv1.3",
        "TLS_AES_128_GCM_SHA256",
        result,
        rng.choice(("HTTP/2.0", "HTTP/2.0", "HTTP/3.0")),
        "-",
        "-",
        str(rng.randrange(1024, 65_536)),
        took,
        result,
        request.content_type,
        str(request.size) if request.size else "-",
        "-",
        "-",
    )
    return "\t".join(values).encode()


@lru_cache(8192)  # agents, pages and queries repeat
def _logged(value: str) -> str:
    return quote(value, safe=LOGGED_AS_IS) or "-"


def _logged_agent(visitor: Visitor) -> str:
    once = _logged(visitor.agent)
    return once.replace("%", "%25") if visitor.agent_is_doubled else once


def _result_type(request: Request) -> str:
    if request.status == 302:
        return "LambdaGeneratedResponse"
    if request.status >= 400 or request.status == 0:
        return "Error"
    return "Hit" if request.second % 9 else "Miss"


def _with_field(line: bytes, name: str, value: bytes) -> bytes:
    fields = line.split(b"\t")
    fields[ACCESS_LOG_FIELDS.index(name)] = value
    return b"\t".join(fields)


# ---- objects ----


def _parts(day: date, rng: random.Random, requests: list[Request]) -> dict[Part, list[Line]]:
    """The lines of each object. Each edge writes its own objects, so an hour has several, each roughly in order."""
    parts: dict[Part, list[Line]] = {(hour, n): [] for hour in range(24) for n in range(OBJECTS_PER_HOUR)}
    for request in sorted(requests, key=lambda request: request.second):
        hour = min(request.second // 3600, 23)
        part = visits.EDGES.index(request.visitor.edge) % OBJECTS_PER_HOUR
        parts[hour, part].append(Line(log_line(day, request, rng), request))
    return parts


def _key(day: date, part: Part) -> str:
    hour, n = part
    unique = zlib.crc32(f"{day} {hour} {n}".encode())
    return f"{DISTRIBUTION}.{day}-{hour:02d}.{unique:08x}.gz"


def _body(part: Part, lines: list[Line]) -> bytes:
    if part == (CUT_HOUR, DAMAGED_PART):
        return _cut_off(lines)
    if part == (TWO_MEMBERS_HOUR, DAMAGED_PART):
        half = len(lines) // 2
        return gzipped(lines[:half]) + gzipped(lines[half:], header=b"")
    return gzipped(lines)


def gzipped(lines: Iterable[Line], header: bytes = HEADER) -> bytes:
    """One gzip member, without a time in its header."""
    compressor = zlib.compressobj(6, zlib.DEFLATED, 31)
    text = header + b"".join(line.text + b"\n" for line in lines)
    return compressor.compress(text) + compressor.flush()


def _cut_off(lines: list[Line]) -> bytes:
    """A gzip file that ends within its last line. It is flushed there, so that every reader gets equally far."""
    *whole, cut = lines
    compressor = zlib.compressobj(6, zlib.DEFLATED, 31)
    text = HEADER + b"".join(line.text + b"\n" for line in whole) + cut.text
    return compressor.compress(text) + compressor.flush(zlib.Z_FULL_FLUSH)


def _lines_before_cut(lines: list[Line]) -> list[Line]:
    """The first two thirds of the lines, and half of the next line. The rest never arrived."""
    kept = len(lines) * 2 // 3
    cut = lines[kept].text
    return [*lines[:kept], Line(cut[: len(cut) // 2], broken=CUT_LINE)]


# ---- faults ----


def _click_patterns(world: World, rng: random.Random) -> Iterator[Request]:
    """A flood of clicks without any impression, and a visitor who clicks one ad again and again."""
    publication = visits.PUBLICATIONS[0]
    flooder = replace(world.visitors[0], address=FLOOD_ADDRESS)
    for n in range(FLOOD_CLICKS):
        placement = world.any_placement(rng, publication, "website")
        second = 17 * 3600 + n * FLOOD_SECONDS // FLOOD_CLICKS
        yield visits.click(rng, Request(second, flooder, "/pxl.png", placement=placement), second)
    impatient = replace(world.visitors[1], address=REPEAT_ADDRESS)
    placement = world.any_placement(rng, publication, "website")
    seen = visits.impression(rng, 18 * 3600, impatient, placement, f"https://www.{publication}.example/")
    yield seen
    for n in range(REPEAT_CLICKS):
        yield visits.click(rng, seen, seen.second + 5 + n * REPEAT_GAP)


def _private_requests(world: World, rng: random.Random) -> Iterator[Request]:
    """Requests with e-mail addresses and phone numbers, plain and encoded, in queries, a referrer and a landing
    page."""
    for n, email in enumerate(EMAILS):
        visitor, second = world.any_visitor(rng), 16 * 3600 + 300 * n
        encoded = quote(email, safe="")
        yield visits.page_view(rng, second, visitor, "/newsletter/confirm", f"email={encoded}&list=weekly", "")
        yield visits.page_view(rng, second + 1, visitor, "/", "", f"{visits.SITE}/newsletter/confirm?email={email}")
        ad = Request(
            second, visitor, "/pxl.png", placement=world.any_placement(rng, visits.PUBLICATIONS[1], "newsletter")
        )
        clicked = visits.click(rng, ad, second + 2)
        yield replace(clicked, query=clicked.query + quote(f"&subscriber={encoded}", safe=""))
    for n, phone in enumerate(PHONES):
        visitor = world.any_visitor(rng)
        yield visits.page_view(rng, 61_000 + n, visitor, "/contact", f"phone={quote(phone)}&topic=rates", "")


def _next_day(requests: list[Request]) -> list[Request]:
    """Impressions of the first second after midnight, which the edge still writes to the log of hour 23."""
    last = [request for request in requests if request.is_impression][-NEXT_DAY_ROWS:]
    return [replace(request, second=86_400) for request in last]


def _repeated(rng: random.Random, lines: list[Line], count: int) -> list[Line]:
    return [Line(line.text) for line in rng.sample(lines, count)]


def _repeat_in_next_object(rng: random.Random, parts: dict[Part, list[Line]]) -> None:
    """Copies requests of one object, word for word, to another object of the same hour."""
    candidates = [(hour, line) for hour in range(24) for line in parts[hour, 0]]
    for hour, line in rng.sample(candidates, DUPLICATES):
        parts[hour, 2].append(Line(line.text))


def _add_equal_lines(lines: list[Line]) -> None:
    """Adds equal lines without a request id. They count as different requests."""
    lines += [replace(lines[0], text=_with_field(lines[0].text, "x-edge-request-id", b"-"))] * WITHOUT_ID


def _spoil_numbers(lines: list[Line]) -> None:
    for n in range(UNREADABLE_NUMBERS):
        lines[n] = replace(lines[n], text=_with_field(lines[n].text, "sc-bytes", b"many"))


def _add_broken_lines(rng: random.Random, parts: dict[Part, list[Line]]) -> None:
    for n, (kind, (_, spoil)) in enumerate(BROKEN_LINES.items()):
        lines = parts[n % 4, 0]
        good = lines[0].text
        for _ in range(BROKEN_OF_EACH):
            lines.insert(rng.randrange(1, len(lines) + 1), Line(spoil(good), broken=kind))


# ---- the truth ----


def _truth(day: date, parts: dict[Part, list[Line]]) -> Truth:
    lines = [line for part in parts.values() for line in part]
    kept = [line.request for line in lines if line.request]
    broken: dict[str, int] = {}
    for line in lines:
        if line.broken:
            broken[line.broken] = broken.get(line.broken, 0) + 1
    return Truth(
        objects=len(parts),
        rows_read=len(lines),
        rows_kept=len(kept),
        duplicates=len(lines) - len(kept) - sum(broken.values()),
        next_day_rows=sum(request.second >= 86_400 for request in kept),
        broken=broken,
        ad_requests=tuple(
            AdRequest(
                day + timedelta(days=request.second // 86_400),
                request.placement,
                request.is_click,
                request.visitor.address,
            )
            for request in kept
            if request.placement
        ),
    )


def _sum(first: Truth, second: Truth) -> Truth:
    kinds = sorted(first.broken.keys() | second.broken.keys())
    return Truth(
        objects=first.objects + second.objects,
        rows_read=first.rows_read + second.rows_read,
        rows_kept=first.rows_kept + second.rows_kept,
        duplicates=first.duplicates + second.duplicates,
        next_day_rows=first.next_day_rows + second.next_day_rows,
        broken={kind: first.broken.get(kind, 0) + second.broken.get(kind, 0) for kind in kinds},
        ad_requests=first.ad_requests + second.ad_requests,
    )

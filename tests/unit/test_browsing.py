"""The demo's events hold what they promise: checked by a plain reader of the written objects."""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest

from demo import browsing, event_files, traffic, visits
from demo.browsing import DELIVERY, MAGAZINE, SHOP
from demo.event_files import EventDay, Truth

pytestmark = pytest.mark.slow

MONDAY = date(2026, 1, 12)
COUNT = 4
SCALE = 0.5
KEY = re.compile(
    r"site-logs/domain=([a-z.-]+)/year=(\d{4})/month=(\d\d)/day=(\d\d)/hour=(\d\d)"
    r"/events-\2-\3-\4-\5\.jsonl(?:\.gz)?"
)
SHAPES = {
    MAGAZINE.domain: {"pixel"},
    SHOP.domain: {"site"},
    DELIVERY.domain: {"app", "clickstream"},
}


@pytest.fixture(scope="module")
def days() -> list[EventDay]:
    return event_files.generate_days(MONDAY, COUNT, scale=SCALE)


@pytest.fixture(scope="module")
def read(days: list[EventDay]) -> list[Read]:
    return list(events_of(days))


class Read(NamedTuple):
    """An event as the plain reader finds it in an object."""

    site: str
    received: datetime  # the hour of its object
    shape: str
    id: str
    type: str
    at: datetime
    fields: dict[str, Any]  # of its line


def text_of(key: str, body: bytes) -> str:
    return (gzip.decompress(body) if key.endswith(".gz") else body).decode()


def lines_of(key: str, body: bytes) -> list[str]:
    text = text_of(key, body)
    if text.startswith("["):
        return [json.dumps(element) for element in json.loads(text)]
    return text.removesuffix("\n").split("\n")


def shape_of(fields: dict[str, Any]) -> str | None:
    if {"eventType", "siteId"} <= fields.keys():
        return "pixel"
    if {"page_url", "event_type"} <= fields.keys():
        return "site"
    if "event_type" in fields and fields.keys() & {"device_id", "cookie_id", "gaid", "idfa"}:
        return "app"
    return "clickstream" if {"user_id", "created_at", "event"} <= fields.keys() else None


def read_line(line: str, site: str, received: datetime) -> list[Read] | str:
    """The events of a line, or the kind of its fault."""
    try:
        fields = json.loads(line)
    except json.JSONDecodeError:
        return "broken_json"
    if not isinstance(fields, dict):
        return "no_object"
    shape = shape_of(fields)
    if shape is None:
        return "unknown_shape"
    kind = fields.get("eventType") or fields.get("event_type") or fields.get("event")
    if not isinstance(kind, str):
        return "wrong_type"
    time = fields.get("timestamp") or fields["created_at"]
    if not re.match(r"\d{4}-", time):
        return "bad_timestamp"
    midnight = received.replace(hour=0)
    if datetime.fromisoformat(time) >= midnight + timedelta(days=2):
        return "future"
    if datetime.fromisoformat(time) < midnight - timedelta(days=400):
        return "too_old"
    children = fields["events"] if kind == "batch" else [{}]
    event_id = fields.get("event_id", line)
    return [
        Read(
            site,
            received,
            shape,
            f"{event_id}#{n}",
            child.get("eventType", kind),
            datetime.fromisoformat(child.get("timestamp", time)).astimezone(UTC),
            fields,
        )
        for n, child in enumerate(children)
    ]


def read_day(day: EventDay, site: str) -> list[list[Read] | str]:
    """What each line of a site's objects holds."""
    found = []
    for key, body in day.objects.items():
        match = KEY.fullmatch(key)
        assert match, key
        if match[1] == site:
            received = datetime(*map(int, match.groups()[1:]), tzinfo=UTC)
            found += [read_line(line, site, received) for line in lines_of(key, body)]
    return found


def events_of(days: list[EventDay]) -> Iterator[Read]:
    """Every event once, whatever it was repeated."""
    seen = set()
    for day in days:
        for site in SHAPES:
            for line in read_day(day, site):
                for event in line if isinstance(line, list) else []:
                    if (site, event.id) not in seen:
                        seen.add((site, event.id))
                        yield event


def truths_of(days: list[EventDay]) -> list[Truth]:
    return [truth for day in days for truth in day.truths.values()]


def visitor_of(event: Read) -> str:
    """Who sent an event, by its own fields; an event without any id is nobody else's."""
    for name in ("visitorId", "visitor_id", "device_id", "cookie_id", "gaid", "idfa", "custom_user_id", "user_id"):
        value = event.fields.get(name, "")
        if value and value not in (*browsing.LOST_IDS, browsing.ZERO_ID):
            return str(value)
    if event.shape == "pixel":
        network = ip_network((event.fields["ip"], 48 if ":" in event.fields["ip"] else 24), strict=False)
        return f"{event.fields['browser']} {network}"
    return event.id


# ---- the files ----


def test_same_seed_gives_same_bytes(days: list[EventDay]) -> None:
    again = event_files.generate_days(MONDAY, COUNT, scale=SCALE)

    assert again == days
    other = event_files.generate_days(MONDAY, 1, seed=8, scale=SCALE)
    assert other[0].objects != days[0].objects


def test_a_longer_run_begins_with_the_same_bytes(days: list[EventDay]) -> None:
    assert event_files.generate_days(MONDAY, 2, scale=SCALE) == days[:2]


def test_size_is_about_what_was_asked_for(days: list[EventDay]) -> None:
    def size(day: EventDay) -> int:
        return sum(len(truth.kept) for truth in day.truths.values())

    (full,) = event_files.generate_days(MONDAY, 1)
    assert 2_200 < size(full) < 3_800
    assert 0.35 < size(days[0]) / size(full) < 0.65
    (saturday,) = event_files.generate_days(MONDAY - timedelta(days=2), 1)
    assert size(saturday) < size(full)


def test_what_cannot_be_made_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"at least 0\.4"):
        event_files.generate_days(MONDAY, 1, scale=0.1)
    with pytest.raises(ValueError, match="no such site and day"):
        event_files.generate_days(MONDAY, 1, bad=(SHOP.domain, MONDAY + timedelta(days=1)))


def test_objects_lie_under_the_hour_in_which_their_events_were_received(days: list[EventDay]) -> None:
    ahead = 0
    for day in days:
        for site in SHAPES:
            for line in read_day(day, site):
                for event in line if isinstance(line, list) else []:
                    assert event.received.date() == day.day
                    end = event.received + timedelta(hours=1)
                    assert event.at <= end + timedelta(milliseconds=browsing.CLOCK_AHEAD)
                    ahead += event.at >= end
    assert ahead  # from clocks that are ahead


def test_objects_come_in_all_their_forms(days: list[EventDay]) -> None:
    for day in days:
        objects = {key: text_of(key, body) for key, body in day.objects.items()}
        for site in SHAPES:
            own = {key: text for key, text in objects.items() if f"domain={site}/" in key}
            assert any(key.endswith(".jsonl.gz") for key in own)
            assert any(key.endswith(".jsonl") and not text.startswith("[") for key, text in own.items())
            assert sum(not text.endswith("\n") for text in own.values()) == 1
        arrays = [key for key, text in objects.items() if text.startswith("[")]
        assert len(arrays) == 1
        assert SHOP.domain in arrays[0]
        twice = [key for key in objects if f"{key}.gz" in objects]
        assert len(twice) == 1
        assert objects[twice[0]] == objects[f"{twice[0]}.gz"]


def test_folder_gets_the_objects(days: list[EventDay], tmp_path: Path) -> None:
    written = event_files.write_days(days, traffic.to_folder(tmp_path), "/events/")

    assert written == [f"events/{key}" for day in days for key in day.objects]
    assert [(tmp_path / key).read_bytes() for key in written] == [body for day in days for body in day.objects.values()]


# ---- the truth ----


def test_truth_is_what_a_plain_count_gives(days: list[EventDay]) -> None:
    for day in days:
        for site, truth in day.truths.items():
            lines = read_day(day, site)
            events = [event for line in lines if isinstance(line, list) for event in line]
            assert truth.objects == sum(f"domain={site}/" in key for key in day.objects)
            assert truth.lines == len(lines)
            assert truth.events == len(events)
            assert truth.duplicates == len(events) - len({event.id for event in events})
            assert len(truth.kept) == truth.events - truth.duplicates
            assert truth.rejects == Counter(line for line in lines if isinstance(line, str))
            assert Counter(event.event_date for event in truth.kept) == Counter(
                event.at.date() for event in {event.id: event for event in events}.values()
            )


def test_events_received_on_several_days_are_one(days: list[EventDay], read: list[Read]) -> None:
    truths = truths_of(days)
    found = Counter((event.site, event.at.date()) for event in read)

    assert Counter((event.site, event.event_date) for event in event_files.expected_events(truths)) == found
    assert sum(len(truth.kept) for truth in truths) - sum(found.values()) > len(SHAPES)  # some were sent again


def test_sessions_are_those_of_a_plain_walk_through_the_events(days: list[EventDay], read: list[Read]) -> None:
    sessions: Counter[tuple[str, date]] = Counter()
    last: dict[tuple[str, str], datetime] = {}
    for event in sorted(read, key=lambda event: event.at):
        visitor = event.site, visitor_of(event)
        if visitor not in last or event.at - last[visitor] > timedelta(seconds=1_800):
            sessions[event.site, event.at.date()] += 1
        last[visitor] = event.at

    expected = event_files.expected_sessions(truths_of(days))
    assert Counter((session.site, session.day) for session in expected) == sessions
    assert sum(session.events for session in expected) == len(read)


def test_a_gap_of_half_an_hour_continues_a_session_and_a_longer_one_ends_it(days: list[EventDay]) -> None:
    slow = f"visitor:{browsing.planned_device(SHOP, 'slow reader').visitor_id(SHOP)}"
    sessions = [session for session in event_files.expected_sessions(truths_of(days)) if session.visitor == slow]

    assert [session.events for session in sessions] == [2, 1] * COUNT
    for first, second in zip(sessions[::2], sessions[1::2], strict=True):
        assert (first.end - first.start, second.start - first.end) == (1_800_000, 1_800_001)


@pytest.mark.parametrize("site", browsing.SITES, ids=lambda site: site.shape)
def test_sessions_go_on_past_midnight(days: list[EventDay], site: browsing.Site) -> None:
    device = browsing.planned_device(site, "night owl")
    owl = f"device:{device.device_id}" if site is DELIVERY else f"visitor:{device.visitor_id(site)}"
    sessions = [session for session in event_files.expected_sessions(truths_of(days)) if session.visitor == owl]

    assert [session.day for session in sessions] == [day.day for day in days]
    for session in sessions[:-1]:
        assert datetime.fromtimestamp(session.end / 1000, UTC).date() == session.day + timedelta(days=1)


# ---- the shapes ----


def test_each_site_sends_its_shapes_as_documented(read: list[Read]) -> None:
    needed = {
        "pixel": {"sessionId", "visitorId", "url", "path", "page", "browser", "timestamp", "ip"},
        "site": {"event_id", "session_id", "visitor_id", "event_data", "timestamp", "ip", "user_agent"},
        "app": {"timestamp", "ip", "user_agent"},
        "clickstream": {"page", "properties", "ip", "user_agent"},
    }
    shapes: dict[str, set[str]] = {}
    for event in read:
        shapes.setdefault(event.site, set()).add(event.shape)
        assert needed[event.shape] <= event.fields.keys()
        if event.shape == "pixel":
            assert event.fields["browser"].keys() >= {"userAgent", "language", "screenWidth", "timezone"}
        if event.shape == "site":
            assert re.fullmatch(r"evt_\w+", event.fields["event_id"])
            assert re.match(r"visitor_\w+", event.fields["visitor_id"]) or visitor_of(event) == event.id
    assert shapes == SHAPES


def test_each_shape_has_its_event_types(read: list[Read]) -> None:
    found: dict[str, set[str]] = {}
    for event in read:
        found.setdefault(event.shape, set()).add(event.type)

    assert found == {
        "pixel": {"pageview", "scroll", "click", "form_submit", "purchase", "page_exit"},
        "site": {"page_view", "click", "add_to_cart", "login", "purchase"},
        "app": set(
            "click install app_open session_start page_view screen_transition add_to_cart purchase logout unsubscribe "
            "app_close".split()
        ),
        "clickstream": {"page_view", "purchase"},
    }


def test_batches_hold_several_events_and_some_without_a_time(read: list[Read]) -> None:
    batches = [event.fields["events"] for event in read if event.fields.get("eventType") == "batch"]

    assert max(map(len, batches)) > 1
    assert {"timestamp" in child for batch in batches for child in batch} == {True, False}


# ---- who visits, and what goes wrong ----


def test_every_kind_of_broken_line_is_there_every_day_and_stays_below_the_limit(days: list[EventDay]) -> None:
    for truth in truths_of(days):
        assert truth.rejects.keys() == event_files.BROKEN_LINES.keys()
        assert sum(truth.rejects.values()) < 0.05 * truth.lines
        assert truth.duplicates >= event_files.SENT_TWICE


def test_offline_apps_deliver_hours_or_a_day_later(read: list[Read]) -> None:
    delays = [event.received - event.at for event in read if event.site == DELIVERY.domain]

    assert sum(delay > timedelta(hours=2) for delay in delays) > 10
    assert max(delays) > timedelta(hours=24)


def test_visits_come_from_everywhere(read: list[Read]) -> None:
    urls = [urlsplit(str(event.fields.get("url") or event.fields.get("page_url", ""))) for event in read]
    parameters = {name: values for url in urls for name, values in parse_qs(url.query).items()}
    assert parameters.keys() >= {"utm_source", "utm_medium", "utm_campaign", "gclid", "fbclid", "msclkid", "oid", "cid"}

    details = [event.fields.get(name, {}) for event in read for name in ("page", "event_data", "properties")]
    referrers = {urlsplit(detail["referrer"]).hostname for detail in details if "referrer" in detail}
    expected = {urlsplit(source.referrer).hostname for source in browsing.SOURCES.values()}
    assert expected <= referrers


def test_people_come_back_and_log_in_on_a_second_device(read: list[Read]) -> None:
    dates: dict[str, set[date]] = {}
    visitors: dict[str, set[str]] = {}
    sites: dict[str, set[str]] = {}
    for event in read:
        fields = event.fields
        user = fields.get("userId") or fields.get("user_id") or fields.get("custom_user_id")
        dates.setdefault(visitor_of(event), set()).add(event.at.date())
        if user:
            visitors.setdefault(f"{event.site} {user}", set()).add(visitor_of(event))
            sites.setdefault(user, set()).add(event.site)

    assert sum(len(found) > 1 for found in dates.values()) > 20
    assert sum(len(found) > 1 for found in visitors.values()) > 2
    assert max(map(len, sites.values())) == 3


def test_all_sorts_of_visitors_are_there(read: list[Read]) -> None:
    lines = [event.fields for event in read]
    agents = {fields.get("user_agent", fields.get("browser", {}).get("userAgent")) for fields in lines}
    assert agents & set(visits.ROBOTS)
    addresses = {ip_address(fields["ip"]) for fields in lines}
    assert any(address.version == 6 for address in addresses)
    assert any(address in ip_network(f"{net}.0.0/16") for address in addresses for net in ("10.20", "192.168"))
    assert any(fields.get("gpc") for fields in lines)
    assert any(fields.get("opted_out") or fields.get("optedOut") for fields in lines)


def test_some_ids_are_none_and_some_are_private(read: list[Read]) -> None:
    lines = [event.fields for event in read]
    ids = {
        fields.get(name)
        for fields in lines
        for name in ("visitorId", "visitor_id", "device_id", "user_id", "idfa", "custom_user_id")
    }
    assert {"undefined", browsing.ZERO_ID} <= ids
    assert any("@" in str(value) for value in ids)
    text = json.dumps(lines)
    for private in (*traffic.EMAILS, *traffic.PHONES):
        assert private in text


# ---- a bad day, and visits that follow a click ----


def test_a_bad_day_is_bad_for_one_site_only(days: list[EventDay]) -> None:
    tuesday = MONDAY + timedelta(days=1)
    with_bad = event_files.generate_days(MONDAY, COUNT, scale=SCALE, bad=(SHOP.domain, tuesday))

    truth = with_bad[1].truths[SHOP.domain]
    assert sum(truth.rejects.values()) > 0.2 * truth.lines
    kinds = Counter(line for line in read_day(with_bad[1], SHOP.domain) if isinstance(line, str))
    assert kinds["broken_json"] == truth.rejects[event_files.CUT_LINE] + truth.rejects.get("broken_json", 0)
    for good, day in zip(days, with_bad, strict=True):
        for key in good.objects:
            if day.day != tuesday or SHOP.domain not in key:
                assert day.objects[key] == good.objects[key]


def test_ad_clicks_are_those_of_the_access_logs() -> None:
    clicks = browsing.ad_clicks(MONDAY, rows=3_000)
    logged = "\n".join(
        gzip.decompress(body).decode(errors="replace") if body and "-20." not in key else ""
        for key, body in traffic.generate_day(MONDAY, rows=3_000).objects.items()
    )

    assert len(clicks) > 10
    found = 0
    for click in clicks:
        moment = datetime.fromtimestamp(click.at / 1000, UTC)
        request = f"{moment:%Y-%m-%d\t%H:%M:%S}\t[^\t]+\t\\d+\t{re.escape(click.address)}\tGET\t[^\t]+\t/c\t302\t"
        found += re.search(request, logged) is not None
        assert click.landing_url.startswith(f"https://{SHOP.domain}/")
    assert found > 0.8 * len(clicks)  # others stand in objects that are late or cut off


def test_a_visit_follows_a_click() -> None:
    moment = browsing.milliseconds(MONDAY) + 13 * browsing.HOUR
    landing = "https://shop.example.com/4512?utm_medium=display&utm_content=a b"
    click = browsing.Click(moment, "2001:db8:7::1", visits.BROWSERS[0], landing, "https://www.uptown-review.example/")

    messages = browsing.visit_after_click(click)

    first = event_files.fields_of(messages[0])
    assert first["event_type"] == "page_view"
    assert first["page_url"] == landing.replace(" ", "%20")
    assert first["event_data"]["referrer"] == click.referrer
    assert 0 < messages[0].at - click.at < 5_000
    for fields in map(event_files.fields_of, messages):
        assert (fields["ip"], fields["user_agent"]) == (click.address, click.agent)
    later = browsing.visit_after_click(browsing.Click(moment + browsing.DAY, click.address, click.agent, landing))
    assert event_files.fields_of(later[0])["visitor_id"] == first["visitor_id"]
    assert event_files.fields_of(later[0])["event_id"] != first["event_id"]


def test_visits_after_clicks_are_added_to_the_shop(days: list[EventDay]) -> None:
    clicks = browsing.ad_clicks(MONDAY, rows=3_000)
    (monday,) = event_files.generate_days(MONDAY, 1, scale=SCALE, clicks={MONDAY: clicks})

    landings = {urlsplit(click.landing_url).path for click in clicks}
    seen = {urlsplit(event.fields["page_url"]).path for event in events_of([monday]) if event.site == SHOP.domain}
    assert len(landings & seen) > 0.4 * len(landings)
    for site in (MAGAZINE.domain, DELIVERY.domain):
        assert monday.truths[site] == days[0].truths[site]

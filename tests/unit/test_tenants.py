"""The tenant of a site: from the rules, else from the folder of its objects, never from what an event says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ingest.partition.day import DayResult, ingest_day
from ingest.source import UNKNOWN_SITE, FolderSource
from tests.event_lines import DAY, OPTIONS, SITE, Events, event_key, line
from tests.partitions import events_of

Sent = dict[str, object]


@pytest.fixture
def events(tmp_path: Path) -> Events:
    return Events(tmp_path)


def page_view(name: str, **fields: object) -> Sent:
    sent = {"event_id": name, "event_type": "page_view", "page_url": "https://example.com/"}
    return sent | {"timestamp": f"{DAY}T10:00:00Z"} | fields


def write(events: Events, folder: str, *sent: Sent, name: str = "a", site: str = SITE) -> None:
    path = events.folder / folder / event_key(site, DAY, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\n".join(map(line, sent)))


def take(events: Events, site: str = SITE, incremental: bool = False, **tenants: str) -> DayResult:
    options = replace(OPTIONS, tenants={name.replace("_", "."): tenant for name, tenant in tenants.items()})
    source = FolderSource(events.folder)
    return ingest_day(events.lake, source, events_of(DAY, site), options, incremental=incremental)


def tenants(events: Events, site: str = SITE) -> list[str | None]:
    return [row["tenant_id"] for row in events.rows(site)]


def test_a_folder_of_a_tenant_names_it(events: Events) -> None:
    write(events, "tenant=Acme", page_view("e1"))
    assert take(events).published
    assert tenants(events) == ["acme"]


@pytest.mark.parametrize("folder", ["", "tenant=acme"])
def test_the_rules_stand_above_the_folder(events: Events, folder: str) -> None:
    write(events, folder, page_view("e1"))
    assert take(events, example_com="other").published
    assert tenants(events) == ["other"]


def test_what_an_event_says_is_kept_and_proves_nothing(events: Events) -> None:
    write(events, "", page_view("e1", customer_id="acme"), page_view("e2", customer_id="undefined"))
    take(events)
    said = [(row["tenant_id"], row["declared_tenant_id"], row["user_id"]) for row in events.rows()]
    assert said == [(None, "acme", None), (None, None, None)]


@pytest.mark.parametrize("version", [{}, {"schema_version": 1}, {"schema_version": 2}])
def test_all_visitors_of_a_customer_are_not_one_person_in_any_version(events: Events, version: Sent) -> None:
    write(events, "", *(page_view(f"e{n}", visitor_id=f"v{n}", customer_id="c42", **version) for n in range(2)))
    assert take(events).published
    assert [(row["visitor_id"], row["user_id"]) for row in events.rows()] == [("v0", None), ("v1", None)]


def test_a_user_of_the_site_shape_is_still_one(events: Events) -> None:
    write(events, "", page_view("e1", user_id="u1", customer_id="c42"))
    take(events)
    assert [row["user_id"] for row in events.rows()] == ["u1"]


def test_a_site_in_the_folders_of_two_tenants_is_refused_by_name(events: Events) -> None:
    write(events, "tenant=acme", page_view("e1"))
    write(events, "tenant=other", page_view("e2"))
    result = take(events)
    assert not result.published
    assert "2 tenants (tenant=acme, tenant=other). Name the site's tenant in the rules" in result.reason


def test_the_advice_on_two_tenants_works(events: Events) -> None:
    write(events, "tenant=acme", page_view("e1"))
    write(events, "", page_view("e2"))
    assert "(tenant=acme, none)" in take(events).reason or "(none, tenant=acme)" in take(events).reason
    assert take(events, example_com="acme").published
    assert tenants(events) == ["acme", "acme"]


def test_a_site_that_only_its_events_name_has_the_tenant_of_the_rules(events: Events) -> None:
    for number, site in enumerate(("a.example", "b.example")):
        (events.folder / f"events-{DAY}-10.{number}.jsonl").parent.mkdir(parents=True, exist_ok=True)
        (events.folder / f"events-{DAY}-10.{number}.jsonl").write_bytes(line(page_view(f"e{number}", site_id=site)))
    take(events, UNKNOWN_SITE, a_example="acme")
    assert [(row["site_id"], row["tenant_id"]) for row in events.rows(UNKNOWN_SITE)] == [
        ("a.example", "acme"),
        ("b.example", None),
    ]


def test_new_objects_do_not_give_a_day_two_tenants(events: Events) -> None:
    write(events, "", page_view("e1"))
    take(events, example_com="acme")
    write(events, "", page_view("e2"), name="b")
    result = take(events, incremental=True, example_com="other")
    assert "the tenant of example.com is another one than before" in result.why_whole
    assert tenants(events) == ["other", "other"]


def test_new_objects_of_the_same_tenant_are_added(events: Events) -> None:
    write(events, "tenant=acme", page_view("e1"))
    take(events)
    write(events, "tenant=acme", page_view("e2"), name="b")
    result = take(events, incremental=True)
    assert (result.why_whole, tenants(events)) == ("", ["acme", "acme"])


@pytest.mark.parametrize(
    ("key", "tenant"),
    [
        ("tenant=acme/domain=a.example/x", "acme"),
        ("prefix/tenant=acme/more/domain=a.example/x", "acme"),
        ("domain=a.example/x", None),
        ("domain=a.example/tenant=acme/x", None),  # within a site: a folder of the site's own
        ("tenant=acme/x", None),
    ],
)
def test_the_tenant_of_a_key(events: Events, key: str, tenant: str | None) -> None:
    path = events.folder / key / f"events-{DAY}-10.jsonl"
    path.parent.mkdir(parents=True)
    path.write_bytes(line(page_view("e1")))
    (item,) = FolderSource(events.folder).objects()
    assert item.tenant == tenant

"""Field cases C: where visitors come from, in what is read of events and logs."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.access_logs.parser import PARAMETERS
from ingest.events.addresses import TAGS as TAGS_OF_LINKS
from ingest.events.addresses import campaign
from ingest.rows.clients import Clients
from ingest.rows.encoding import decode_parameter
from ingest.rows.enrich import Geo, Place
from ingest.rows.ids import is_placeholder
from ingest.rows.query_strings import logged_parameters
from tests.event_lines import SITE, Events, pixel
from tests.log_lines import FEW, LogDay, line, log

SEEDS = Path(__file__).parents[2] / "dbt_project" / "seeds"


@pytest.fixture
def events(tmp_path: Path) -> Events:
    return Events(tmp_path)


def of_query(events: Events, query: str) -> tuple[str | None, str | None]:
    (row,) = events.take(pixel(url=f"https://shop.example.com/?{query}"))
    return row["click_id_kind"], row["click_id"]


@pytest.mark.parametrize(
    ("query", "click"),
    [
        ("cid=4172", (None, None)),
        ("oid=24&cid=4172", ("oid", "24")),
        ("cid=4172&oid=24", ("oid", "24")),
        ("oid=24&gclid=G", ("gclid", "G")),
        ("oid={orderid}&cid=4172", (None, None)),
    ],
)
def test_c1_own_links_have_an_oid(events: Events, query: str, click: tuple[str | None, str | None]) -> None:
    assert of_query(events, query) == click


PLACES: list[tuple[dict[str, Any], str | None, str]] = [
    ({"path": "/shoes"}, SITE, "/shoes"),
    ({"url": "//shop.example.com/a"}, "shop.example.com", "/a"),
    ({"url": "/a?x=1#b"}, SITE, "/a"),
    ({"url": "https://Dotted.Example./a"}, "dotted.example", "/a"),
    ({"url": "https://m\u00fcller.example:8443/a"}, "xn--mller-kva.example", "/a"),
    ({"url": "https://xn--mller-kva.example/a"}, "xn--mller-kva.example", "/a"),
    ({"url": "https://u:p@other.example/"}, "other.example", "/"),
]


@pytest.mark.parametrize(("page", "host", "path"), PLACES)
def test_c2_a_page_without_a_host_is_on_its_site(
    events: Events, page: dict[str, Any], host: str | None, path: str
) -> None:
    (row,) = events.take(pixel(**{"url": None} | page))
    assert (row["host"], row["path"]) == (host, path)


def test_c2_a_clickstream_page_may_be_a_path_with_a_campaign(events: Events) -> None:
    sent = {"user_id": "u", "created_at": "2026-01-12T10:00:00Z", "event": "page_view"}
    plain, tagged, relative = events.take(
        sent | {"page": "/shoes"}, sent | {"page": "/shoes?utm_source=news"}, sent | {"page": "//shop.example.com/a"}
    )
    assert (plain["host"], plain["path"], plain["url"]) == (SITE, "/shoes", None)
    assert (tagged["path"], tagged["utm_source"], tagged["url"]) == ("/shoes", "news", "/shoes?utm_source=news")
    assert (relative["host"], relative["path"]) == ("shop.example.com", "/a")


def test_c2_an_app_without_a_page_has_no_host(events: Events) -> None:
    (row,) = events.take({"event_type": "purchase", "device_id": "d", "timestamp": "2026-01-12T10:00:00Z"})
    assert row["host"] is None


def test_c8_a_trailing_dot_is_no_other_host(events: Events) -> None:
    (row,) = events.take(pixel(url="https://dotted.example./", page={"referrer": "https://DOTTED.example:443/"}))
    assert row["host"] == row["referrer_host"] == "dotted.example"


def rows_of(seed: str) -> list[dict[str, str]]:
    return list(csv.DictReader((SEEDS / f"{seed}.csv").read_text("utf-8").splitlines()))


def test_c3_passages_are_hosts_each_once_and_no_sources() -> None:
    passages = rows_of("passages")
    sites = [row["site"] for row in passages]
    assert {"paypal.com", "stripe.com", "login.microsoftonline.com", "cardinalcommerce.com"} <= set(sites)
    assert len(set(sites)) == len(sites)
    assert all(site == site.lower().strip() and "." in site and "/" not in site for site in sites)
    assert {row["kind"] for row in passages} == {"payment", "3-d secure", "login"}
    assert not set(sites) & {row["site"] for row in rows_of("traffic_sources")}


@pytest.mark.parametrize("query", ["gad_source=1&gad_campaignid=22", "gad=1", "gad_campaignid=22", "GAD_SOURCE=1"])
def test_c6_marks_of_google_ads_are_no_ids_of_a_click(events: Events, query: str) -> None:
    kind, click_id = of_query(events, query)
    assert kind in ("gad_source", "gad", "gad_campaignid")
    assert click_id is None  # all clicks of an ad have the same: an id would join strangers


def test_c6_a_click_id_comes_before_its_marks(events: Events) -> None:
    assert of_query(events, "gad_source=1&gbraid=B&oid=3") == ("gbraid", "B")


def test_c7_a_campaign_alone_is_kept(events: Events) -> None:
    (row,) = events.take(pixel(url="https://shop.example.com/?utm_campaign=cross-network"))
    assert (row["utm_source"], row["utm_medium"], row["utm_campaign"]) == (None, None, "cross-network")


@pytest.mark.parametrize(
    ("site", "category"),
    [
        ("3c.web.de", "email"), ("email.ionos.de", "email"), ("3c.gmx.net", "email"), ("mailbox.org", "email"),
        ("l.workplace.com", "social"), ("lnk.bio", "social"), ("linktr.ee", "social"), ("bsky.app", "social"),
    ],
)  # fmt: skip
def test_c9_web_mail_social_and_link_hosts_are_known(site: str, category: str) -> None:
    fitting = [row for row in rows_of("traffic_sources") if site == row["site"] or site.endswith(f".{row['site']}")]
    assert max(fitting, key=lambda row: len(row["site"]))["category"] == category


PARTS = st.lists(
    st.tuples(
        st.sampled_from(["oid", "OID", "cid", "o%69d", "+oid", "amp;oid", "s", "r", "utm_source", "UTM_medium", "gclid",
                         "utm%5Fsource", "fbclid", "gad_source", "x", ""]),
        st.sampled_from(["=", "", "=="]),
        st.sampled_from(["", "1", "a", "QP%20", "+b+", "undefined", "%7Bid%7D", "{id}", "a%2526b", "%3A", "a;b",
                         "(none)", "%E2%82", "email", "0"]),
    ).map("".join),
    max_size=6,
).flatmap(lambda parts: st.sampled_from(["&", "&amp;", "&AMP;amp;"]).map(lambda sign: sign.join(parts)))  # fmt: skip


@FEW
@given(st.lists(PARTS, min_size=1, max_size=40))
def test_c10_logs_and_events_read_query_strings_by_the_same_rules(
    tmp_path_factory: pytest.TempPathFactory, queries: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("queries")
    day = LogDay(folder)
    day.add(log([line(path="/c", query=query or "-") for query in queries]))
    for row, query in zip(day.publish(), queries, strict=True):
        expected = logged_parameters(query)
        assert {name: row[column] for name, column in PARAMETERS.items()} == {
            name: expected.get(name) for name in PARAMETERS
        }, query
    rows = Events(folder).take(*(pixel(n=n, url=f"https://e.example/?{query}") for n, query in enumerate(queries)))
    names = (*TAGS_OF_LINKS, "click_id", "click_id_kind")
    for row, query in zip(rows, queries, strict=True):
        expected = campaign(query) if "=" in query else {}
        assert {name: row[name] for name in names} == {name: expected.get(name) for name in names}, query


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("oid=QP&amp;cid=c&amp;cr=7", {"oid": "QP", "cid": "c", "cr": "7"}),
        ("oid=QP%20", {"oid": "QP"}),
        ("oid=QP%2520&cr=%C2%A07", {"oid": "QP", "cr": "7"}),
        ("oid=&oid=null&oid=3", {"oid": "3"}),
        ("oid=a;cid=b", {"oid": "a;cid=b"}),
        ("r= https://x.example/ &oid=1", {"r": " https://x.example/ ", "oid": "1"}),
    ],
)
def test_c10_amp_and_blanks(query: str, expected: dict[str, str]) -> None:
    assert logged_parameters(query) == expected


@pytest.mark.parametrize(
    ("logged", "decoded"),
    [
        ("https%3A%2F%2Fx.com%2F%3Fq%3Da%2526b%26z%3D1", "https://x.com/?q=a%26b&z=1"),
        ("https%253A%252F%252Fx.com%252F%253Fq%253Da%252526b", "https://x.com/?q=a%26b"),
        ("Foo%20(MacBookPro8%252C1)", "Foo (MacBookPro8,1)"),
        ("%22a%252Cb%22", '"a,b"'),
    ],
)
def test_c11_an_escape_that_cloudfront_never_adds_proves_one_layer(logged: str, decoded: str) -> None:
    assert decode_parameter(logged) == decoded


def test_c11_the_proof_may_stand_in_another_parameter(tmp_path: Path) -> None:
    day = LogDay(tmp_path)
    day.add(log([line(path="/c", query=f"cr=50%2525{r}") for r in ("&r=https%3A%2F%2Fx.example%2F", "&r=x")]))
    assert [row["creative_id"] for row in day.publish()] == ["50%25", "50%"]


def test_c12_the_country_of_the_log(tmp_path: Path) -> None:
    day = LogDay(tmp_path)
    fields = ["date", "time", "c-ip", "cs-uri-stem", "sc-status", "c-country"]
    codes = ["DE", "us", "-", "ZZ", "XX", "T1", "EU", "Germany", "XK"]
    rows = ["\t".join(["2026-01-12", "10:00:00", "192.0.2.1", "/x", "200", code]).encode() for code in codes]
    day.add(log(rows, fields))
    assert [row["country"] for row in day.publish()] == ["DE", "US", None, None, None, None, None, None, "XK"]
    (ledger,) = day.ledger().values()
    assert "c-country" not in ledger["unknown_fields"]


def test_c12_the_database_wins_where_it_knows_the_address() -> None:
    class Known(Geo):
        is_open = True  # type: ignore[assignment]

        def look_up(self, address: str) -> Place:
            return Place("FR", "75C", "Paris") if address == "192.0.2.1" else Place(None, None, None)

    addresses = pa.array(["192.0.2.1", "192.0.2.2", "192.0.2.2"]).dictionary_encode()
    logged = pa.array(["DE", "DE", None]).dictionary_encode()
    columns = Clients("a key for tests, long enough", Known(None)).address_columns(addresses, logged)
    assert columns["country"].to_pylist() == ["FR", "DE", None]
    assert columns["region"].to_pylist() == ["75C", None, None]


# Placeholders, on both sides: from the macros of ad platforms and mail tools, and from the lists and bug reports of
# analytics tools.
NO_TAGS = [
    "undefined", "UNDEFINED", "null", "(null)", "None", "nil", "<nil>", "NaN", "(not set)", "not set", "not_set",
    "(none)", "(direct)", "(not provided)", "N/A", "unknown", "[object Object]", '"undefined"', "'null'", "-", "--",
    "...",
    "{campaignid}", "{_utm_s4}", "{{ad.id}}", "{{campaign.name}}-{{ad.name}}", "{{ campaign.name | slug }}", "{{{x}}}",
    "{{campaign.${name}}}", "${CAMPAIGN_ID}", "#{campaign}", "%%CAMPAIGN%%", "[campaign]", "<campaign>", "__CAMPAIGN__",
    "__CAMPAIGN_NAME__", "*|CAMPAIGN_UID|*", "<%= campaign %>", "{% campaign %}", "%CAMPAIGN%", "%s", "%(campaign)s",
    "%7Bcampaignid%7D", "%257B%257Bad.id%257D%257D", "{campaign_id}_{adgroup_id}",
]  # fmt: skip
TAGS = [
    "email", "true", "id", "na", "user", "cpc", "none-of-these", "nonesuch", "null-island", "unknown-artist", "direct",
    "undefined behaviour", "not set in stone", "spring_{adgroupid}", "50% off", "100%", "a{b", "{3F2504E0-4F89-11D3}",
    "{a3f2504e04f8911d39a0c0305e82c330}", "[email]", "[phone]", "0", "1", "__init", "%", "\u00fc", "\U0001f600", "a",
    "x-1", "=",
]  # fmt: skip
NO_IDS = [
    *NO_TAGS, "true", "FALSE", "id", "ID", "distinct_id", "distinctid", "email", "e-mail", "not_authenticated",
    "not authenticated", "not_logged_in", "unauthenticated", "guest", "guest_user", "anonymous", "anonymousUser",
    "anonymous_id", "anon", "user", "user_id", "userId", "username", "device_id", "{{user_id}}", "user_{{id}}",
    "user-${id}", "-1", "0", "0.0", "0x0", "000-000", "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff", "FFFFFFFFFFFFFFFF", "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx",
    "11111111-1111-1111-1111-111111111111", "[]", "{}", "lmy47d", "9774d56d682e549c", '""', "#", "invalid", "default",
]  # fmt: skip
IDS = [
    "user-1", "0a", "id12", "Guestavo", "guest-17", "anonymous-3f2c", "1", "7", "10", "-12", "ff", "fffffff", "truely",
    "emailer", "nullius", "nonette", "idris", "nanette", "unknown42", "visitor_1", "sess_abc", "u\u0301", "true-north",
    "{3F2504E0-4F89-11D3-9A0C-0305E82C3301}", "3f2504e0-4f89-11d3-9a0c-0305e82c3301", "0000000a", "1111111111111111",
    "ffffffff-ffff-ffff-ffff-fffffffffffe", "38400000-8cf0-11bd-b23e-10b96e40000d", "ann", "Null Pointer", "a b",
    "50%25",
]  # fmt: skip


@pytest.mark.parametrize("text", NO_TAGS)
def test_c4_placeholders_of_tags(text: str) -> None:
    assert is_placeholder(text)


@pytest.mark.parametrize("text", TAGS)
def test_c4_tags_that_say_something(text: str) -> None:
    assert not is_placeholder(text)


def test_c4_a_placeholder_beats_nothing(events: Events) -> None:
    tags = "utm_source=undefined&utm_medium=%7B%7Bmedium%7D%7D&utm_campaign=null"
    bare, clicked, sent = events.take(
        pixel(n=1, url=f"https://e.example/?{tags}"),
        pixel(n=2, url=f"https://e.example/?{tags}&fbclid={{fbclid}}&gclid=G"),
        pixel(n=3, url=f"https://e.example/?{tags}", page={"queryParams": "?utm_source=news"}),
    )
    assert (bare["utm_source"], bare["utm_medium"], bare["utm_campaign"], bare["click_id"]) == (None,) * 4
    assert (clicked["utm_source"], clicked["click_id"], clicked["click_id_kind"]) == (None, "G", "gclid")
    assert sent["utm_source"] == "news"


@pytest.mark.parametrize("text", NO_IDS)
def test_c5_placeholders_of_ids(text: str) -> None:
    assert is_placeholder(text, of_id=True)


@pytest.mark.parametrize("text", IDS)
def test_c5_ids_of_somebody(text: str) -> None:
    assert not is_placeholder(text, of_id=True)


def test_c5_ids_in_events(events: Events) -> None:
    texts = [*NO_IDS, *IDS]
    sent = {"created_at": "2026-01-12T10:00:00Z", "event": "x"}
    rows = events.take(*(sent | {"user_id": text, "n": n} for n, text in enumerate(texts)))
    assert [row["user_id"] for row in rows] == [None] * len(NO_IDS) + IDS


def test_c5_of_several_the_first_that_is_an_id_counts(events: Events) -> None:
    shared = {"event_type": "login", "device_id": "d", "timestamp": "2026-01-12T10:00:00Z"}
    rows = events.take(*(shared | {"custom_user_id": text, "user_id": "u7"} for text in ("not_authenticated", "u8")))
    assert [row["user_id"] for row in rows] == ["u7", "u8"]


def test_c5_no_text_takes_long() -> None:
    for text in ("__a__" * 4_000, "{{" * 20_000, "%25" * 20_000, "*|" * 20_000, "%a" * 20_000, "[a]_" * 10_000):
        assert not is_placeholder(text, of_id=True)
        is_placeholder(text[:300], of_id=True)
        is_placeholder(text[:300])

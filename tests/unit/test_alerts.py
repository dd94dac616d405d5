"""Alerts: what each rule finds in a lake of small files, and that every receiver hears of each thing once."""

from __future__ import annotations

import datetime as dt
import json
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from email import message_from_string
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest
from click.testing import CliRunner

from ingest.days import parse_day
from ingest.lake.files import Lake
from ingest.lake.layout import Partition
from orchestration.alerts import outbox
from orchestration.alerts.alert import IN_FULL, LISTED, OPENED, RESOLVED, Alert, Notice, message, plain
from orchestration.alerts.outbox import STATE_KEY, note, read_state
from orchestration.alerts.receivers import DeliveryError, receivers_of
from orchestration.alerts.rule import Look
from orchestration.alerts.rules.failed_runs import failed_runs
from orchestration.marts.known import CAMPAIGN_TRENDS, DAILY_AGGREGATES
from orchestration.operations.alerts import Sent, open_alerts, send_alerts
from orchestration.settings import Settings, load_settings
from tests.alert_fixtures import HttpReceiver, MailServer, certificate, http_receiver, mail_server

NOW = dt.datetime(2026, 2, 18, 9, tzinfo=dt.UTC)  # a Wednesday; the day before is closed
CLOSED = dt.date(2026, 2, 17)
SECRET = "marked-secret-that-must-never-be-seen"
HASH_KEY = f"hash-key-{SECRET}"
LOG = logging.getLogger("test")


class Place:
    """A lake, logs and events as folders, and the settings of them."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder, self.patch = folder, patch
        for name in [name for name in os.environ if name.startswith("CLICKLAKE_")]:
            patch.delenv(name)
        for name in ("logs", "events", "lake"):
            (folder / name).mkdir()
            self.set(name, str(folder / name))
        self.set("hash_key", HASH_KEY)

    def set(self, name: str, value: str) -> None:
        self.patch.setenv(f"CLICKLAKE_{name}".upper(), value)

    @property
    def settings(self) -> Settings:
        return load_settings()

    @property
    def lake(self) -> Lake:
        return Lake(str(self.folder / "lake"))

    def log_object(self, day: str, hour: int = 10, arrived: dt.datetime | None = None) -> None:
        self._object("logs", f"E1.{day}-{hour:02}.a.gz", arrived)

    def event_object(self, site: str, day: str, arrived: dt.datetime | None = None) -> None:
        year, month, number = day.split("-")
        folder = f"domain={site}/year={year}/month={month}/day={number}/hour=10"
        self._object("events", f"{folder}/events-{day}-10.jsonl", arrived)

    def _object(self, source: str, key: str, arrived: dt.datetime | None) -> None:
        path = self.folder / source / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
        seconds = (arrived or NOW).timestamp()
        os.utime(path, (seconds, seconds))

    def taken(self, dataset: str, day: str, site: str | None = None) -> None:
        self.lake.put_table(pa.table({"source_object": ["a"]}), Partition(dataset, parse_day(day), site).ledger_file)

    def refuse(self, table: str, day: str, site: str | None = None, message: str = "too many rejects") -> str:
        prefix = Partition(table, parse_day(day), site).quarantine
        verdict = {"table": table, "day": day, "reasons": [{"check": "reject_share", "message": message}]}
        self.lake.put_text(json.dumps(verdict | ({"site": site} if site else {})), f"{prefix}/verdict.json")
        return prefix

    def trends(self, day: str, campaigns: Mapping[str, Mapping[str, Any]]) -> None:
        """campaign_trends of a day: campaign → impressions, clicks, expected clicks and usual impressions."""
        rows = [
            {
                "order_id": "o1",
                "campaign_id": name,
                "valid_impressions": given["impressions"],
                "valid_clicks": given.get("clicks", 0),
                "valid_ctr": 0.0,
                "compared_weekdays": 4,
                "usual_ctr": 1.0,
                "expected_clicks": given.get("expected"),
                "compared_days": 7,
                "usual_impressions": given.get("usual"),
            }
            for name, given in campaigns.items()
        ]
        texts, floats = ("order_id", "campaign_id"), ("valid_ctr", "usual_ctr", "expected_clicks", "usual_impressions")
        types = (
            dict.fromkeys(rows[0], pa.int64()) | dict.fromkeys(texts, pa.string()) | dict.fromkeys(floats, pa.float64())
        )
        table = pa.Table.from_pylist(rows, schema=pa.schema(types))
        self.lake.put_table(table, CAMPAIGN_TRENDS.file(parse_day(day)))
        self.aggregates(day)

    def aggregates(self, day: str) -> None:
        """A day of daily_aggregates, which no rule reads rows of."""
        self.lake.put_table(pa.table({"order_id": ["o1"]}), DAILY_AGGREGATES.file(parse_day(day)))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def webhook() -> Iterator[HttpReceiver]:
    with http_receiver() as receiver:
        yield receiver


@pytest.fixture
def mail() -> Iterator[MailServer]:
    with mail_server() as server:
        yield server


def day_before(days: int) -> str:
    return (CLOSED - dt.timedelta(days=days)).isoformat()


def keys(place: Place, instance: dg.DagsterInstance, now: dt.datetime = NOW) -> list[str]:
    return sorted(alert.key for alert in open_alerts(place.settings, instance, now))


def send(place: Place, instance: dg.DagsterInstance, now: dt.datetime = NOW) -> Sent:
    return send_alerts(place.settings, instance, LOG, now)


# What is found


def test_a_lake_without_anything_has_no_alert(place: Place, instance: dg.DagsterInstance) -> None:
    assert keys(place, instance) == []


def test_a_refused_partition_says_why_and_whether_an_earlier_version_stands(
    place: Place, instance: dg.DagsterInstance
) -> None:
    place.refuse("access_logs", "2026-02-10")
    place.refuse("events", "2026-02-11", "shop.example.com")
    place.taken("events", "2026-02-11", "shop.example.com")
    place.refuse("daily_aggregates", "2026-02-12")

    found = {alert.key: alert for alert in open_alerts(place.settings, instance, NOW) if alert.kind == "refused"}

    assert {key: alert.severity for key, alert in found.items()} == {
        "refused:raw_access_logs:2026-02-10": "error",
        "refused:raw_events/shop.example.com:2026-02-11": "warning",
        "refused:daily_aggregates:2026-02-12": "error",
    }
    assert found["refused:raw_access_logs:2026-02-10"].text == (
        "reject_share: too many rejects. Nothing of it is published."
    )
    assert "earlier good version" in found["refused:raw_events/shop.example.com:2026-02-11"].text


def test_a_day_whose_objects_went_with_age_is_no_alert(
    place: Place, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another reason, and a day that is not published, are alerts as ever."""
    place.taken("access_logs", day_before(1))
    for day, check in ((day_before(1), "objects_kept"), (day_before(2), "objects_kept"), (day_before(3), "volume")):
        prefix = place.refuse("access_logs", day)
        verdict = {"table": "access_logs", "day": day, "reasons": [{"check": check, "message": "said"}]}
        place.lake.put_text(json.dumps(verdict), f"{prefix}/verdict.json")

    def refused() -> list[str]:
        return sorted(str(alert.day) for alert in open_alerts(place.settings, instance, NOW) if alert.kind == "refused")

    assert refused() == [day_before(3), day_before(2), day_before(1)]
    place.set("logs_kept_days", "1")
    assert refused() == [day_before(3), day_before(2)]


def test_a_closed_day_without_objects_is_missing_until_they_come(place: Place, instance: dg.DagsterInstance) -> None:
    for days in (1, 2, 3):
        place.taken("access_logs", day_before(days))
    place.log_object("2026-02-18")
    assert keys(place, instance) == ["source_missing:access_logs:2026-02-17"]

    place.log_object("2026-02-17")
    assert keys(place, instance) == []


def test_a_day_before_any_was_delivered_is_not_missing(place: Place, instance: dg.DagsterInstance) -> None:
    place.taken("access_logs", CLOSED.isoformat())
    place.log_object("2026-02-18")
    assert keys(place, instance) == []


def test_a_day_refused_for_having_no_objects_is_one_alert(place: Place, instance: dg.DagsterInstance) -> None:
    place.taken("access_logs", day_before(1))
    place.log_object("2026-02-18")
    place.refuse("access_logs", CLOSED.isoformat(), message="no objects at all")
    assert keys(place, instance) == ["refused:raw_access_logs:2026-02-17"]


def test_a_refusal_is_told_in_whole_sentences_and_with_what_shows_it(
    place: Place, instance: dg.DagsterInstance
) -> None:
    """Of a day of events whose objects have all gone, sites still stand. Nobody has sent it, so no time is known."""
    place.refuse("events", "2026-02-10", message="were they delivered?")
    place.refuse("events", "2026-02-11", "shop.example.com", "some")
    place.taken("events", "2026-02-10", "shop.example.com")

    first, second = [each for each in open_alerts(place.settings, instance, NOW) if each.kind == "refused"]

    assert first.text == "reject_share: were they delivered? An earlier good version still stands."
    assert (first.severity, first.first_seen) == ("warning", "")
    assert second.text == "reject_share: some. Nothing of it is published."
    assert second.command == "clicklake quarantine show 2026-02-11 --table events --site shop.example.com"


def test_a_site_is_missing_where_it_usually_delivers(place: Place, instance: dg.DagsterInstance) -> None:
    """One site daily, one on working days alone, one that came once: on a Sunday only the first is missed."""
    sunday = dt.date(2026, 2, 15)
    now = dt.datetime(2026, 2, 16, 7, tzinfo=dt.UTC)
    for days in range(1, 15):
        day = sunday - dt.timedelta(days=days)
        place.taken("events", day.isoformat(), "daily.example")
        if day.weekday() < 5:
            place.taken("events", day.isoformat(), "office.example")
    place.taken("events", "2026-02-08", "once.example")
    place.event_object("other.example", "2026-02-15", now)
    for site in ("daily.example", "office.example"):
        place.event_object(site, "2026-02-16", now)

    assert keys(place, instance, now) == ["source_missing:events/daily.example:2026-02-15"]


def test_of_a_dataset_that_is_missing_no_site_is_named(place: Place, instance: dg.DagsterInstance) -> None:
    for days in range(1, 10):
        place.taken("events", day_before(days), "a.example")
        place.taken("events", day_before(days), "b.example")
    place.event_object("a.example", "2026-02-18")
    place.event_object("b.example", "2026-02-18")
    assert keys(place, instance) == ["source_missing:events:2026-02-17"]


def test_a_source_with_nothing_new_is_late(place: Place, instance: dg.DagsterInstance) -> None:
    for days in range(10):
        place.taken("events", day_before(days), "a.example")
        place.taken("events", day_before(days), "b.example")
        place.taken("access_logs", day_before(days))
    place.log_object("2026-02-18", 8, NOW - dt.timedelta(hours=11))
    place.event_object("a.example", "2026-02-18", NOW - dt.timedelta(hours=1))
    place.event_object("b.example", "2026-02-17", NOW - dt.timedelta(hours=13))
    assert keys(place, instance) == ["source_late:events/b.example"]

    place.set("alert_late_hours", "10")
    assert keys(place, instance) == ["source_late:access_logs", "source_late:events/b.example"]


def test_a_source_that_cannot_be_read_is_an_alert_and_keeps_what_was_open(
    place: Place, instance: dg.DagsterInstance
) -> None:
    place.taken("access_logs", day_before(1))
    place.log_object("2026-02-18")
    send(place, instance)
    assert keys(place, instance) == ["source_missing:access_logs:2026-02-17"]

    place.set("logs", str(place.folder / "nowhere"))
    place.refuse("daily_aggregates", "2026-02-01")

    assert keys(place, instance) == [
        "not_judged:sources",
        "refused:daily_aggregates:2026-02-01",
        "source_missing:access_logs:2026-02-17",
    ]


@pytest.mark.parametrize(
    ("figures", "found"),
    [
        ({"impressions": 1000, "clicks": 9, "expected": 20.0}, []),  # 9 > 20 − 3 × √20 or half of it
        ({"impressions": 1000, "clicks": 4, "expected": 20.0}, ["ctr_drop:o1/a"]),
        ({"impressions": 1000, "clicks": 50, "expected": 100.0}, []),  # exactly half
        ({"impressions": 1000, "clicks": 49, "expected": 100.0}, ["ctr_drop:o1/a"]),
        ({"impressions": 999, "clicks": 0, "expected": 100.0}, []),
        ({"impressions": 1000, "clicks": 0, "expected": None}, []),
        ({"impressions": 0, "usual": 1000.0}, ["delivery_low:o1/a"]),
        ({"impressions": 0, "usual": 999.5}, []),
        ({"impressions": 0, "usual": None}, []),
        ({"impressions": 1000, "usual": 2000.0}, []),  # exactly half
        ({"impressions": 999, "usual": 2000.0}, ["delivery_low:o1/a"]),
    ],
)
def test_what_counts_as_fallen(
    place: Place, instance: dg.DagsterInstance, figures: dict[str, Any], found: list[str]
) -> None:
    place.trends(CLOSED.isoformat(), {"a": figures})
    assert keys(place, instance) == found


def test_figures_that_lag_behind_are_not_judged_and_close_nothing(place: Place, instance: dg.DagsterInstance) -> None:
    """As after an upgrade from a version without the mart: a run of the newest day makes it."""
    place.trends(day_before(1), {"a": {"impressions": 0, "usual": 1000.0}})
    place.aggregates(CLOSED.isoformat())
    assert keys(place, instance) == ["delivery_low:o1/a"]  # one day behind: a run may be going on
    send(place, instance)
    place.lake.delete(CAMPAIGN_TRENDS.file(parse_day(day_before(1))))
    assert keys(place, instance) == ["delivery_low:o1/a", "not_judged:figures"]
    place.trends(day_before(2), {"a": {"impressions": 0, "usual": 1000.0}})
    assert keys(place, instance) == ["delivery_low:o1/a", "not_judged:figures"]
    [text] = [alert.text for alert in open_alerts(load_settings(), instance, NOW) if alert.kind == "not_judged"]
    assert f"clicklake run --from {CLOSED} --no-publish" in text


def test_limits_of_fallen_figures_are_settings(place: Place, instance: dg.DagsterInstance) -> None:
    figures = {"impressions": 900, "clicks": 70, "expected": 100.0, "usual": 1000.0}
    place.trends(CLOSED.isoformat(), {"a": figures})
    assert keys(place, instance) == []
    place.set("alert_min_impressions", "900")
    place.set("alert_ctr_drop", "0.25")
    place.set("alert_delivery_share", "0.95")
    assert keys(place, instance) == ["delivery_low:o1/a"]  # 30 clicks less are chance
    place.trends(CLOSED.isoformat(), {"a": figures | {"clicks": 69}})
    assert keys(place, instance) == ["ctr_drop:o1/a", "delivery_low:o1/a"]


def test_names_from_outside_do_no_harm(place: Place, instance: dg.DagsterInstance, webhook: HttpReceiver) -> None:
    hostile = "<!channel> @here [x](http://evil)\r\nBcc: x@example.com \u202e" + "x" * 500
    place.trends(CLOSED.isoformat(), {hostile: {"impressions": 1, "usual": 10_000.0}})
    place.set("alert_webhook_url", webhook.url)

    send(place, instance)

    [body] = webhook.taken
    assert "<!channel>" not in body["text"]
    assert "@here" not in body["text"]
    assert "](" not in body["text"]
    assert len(body["alerts"][0]["title"]) < 200
    assert "\n" not in body["alerts"][0]["title"]
    assert "\u202e" not in json.dumps(body, ensure_ascii=False)


# What is sent


def test_an_alert_is_sent_once_and_once_more_when_it_is_resolved(
    place: Place, instance: dg.DagsterInstance, webhook: HttpReceiver
) -> None:
    place.set("alert_webhook_url", f"{webhook.url}/services/{SECRET}")
    prefix = place.refuse("daily_aggregates", "2026-02-10")
    for minutes in range(0, 60, 5):
        send(place, instance, NOW + dt.timedelta(minutes=minutes))
    [opened] = webhook.taken
    assert webhook.paths == [f"/services/{SECRET}"]
    assert [alert["event"] for alert in opened["alerts"]] == [OPENED]
    assert opened["alerts"][0]["first_seen"] == "2026-02-18T09:00:00+00:00"
    assert opened["text"].startswith("Clicklake: opened: daily_aggregates 2026-02-10 refused\n")
    assert "clicklake quarantine show 2026-02-10 --table daily_aggregates" in opened["text"]

    place.lake.delete(prefix)
    for _ in range(3):
        send(place, instance)
    assert [alert["event"] for body in webhook.taken for alert in body["alerts"]] == [OPENED, RESOLVED]
    assert keys(place, instance) == []


def test_a_receiver_that_is_down_gets_everything_in_one_message_later(
    place: Place, instance: dg.DagsterInstance, webhook: HttpReceiver, mail: MailServer
) -> None:
    """The other receiver has its message at once, and not twice."""
    place.set("alert_webhook_url", webhook.url)
    place.set("alert_email_to", "on-duty@example.com, data@example.com")
    place.set("alert_email_from", "clicklake@example.com")
    place.set("smtp_url", f"smtp://user:{SECRET}@127.0.0.1:{mail.port}")
    webhook.status = 503

    first = place.refuse("daily_aggregates", "2026-02-10")
    sent = send(place, instance)
    assert sent.failed == {"webhook": "the webhook answered 503"}
    place.lake.delete(first)
    place.refuse("daily_aggregates", "2026-02-11")
    send(place, instance)
    webhook.status = 200
    assert send(place, instance).failed == {}

    [body] = webhook.taken
    told = [(alert["event"], alert["day"]) for alert in body["alerts"]]
    assert told == [(OPENED, "2026-02-10"), (OPENED, "2026-02-11"), (RESOLVED, "2026-02-10")]
    assert len(mail.mails) == 2
    assert len(mail.logins) == 2
    assert len(mail.recipients) == 4
    head = message_from_string(mail.mails[0])
    assert head["Subject"] == "Clicklake: opened: daily_aggregates 2026-02-10 refused"
    assert "reject_share" in str(head.get_payload())


def test_a_mail_server_that_refuses_or_has_gone_loses_nothing(
    place: Place, instance: dg.DagsterInstance, mail: MailServer
) -> None:
    place.set("alert_email_to", "on-duty@example.com")
    place.set("alert_email_from", "clicklake@example.com")
    place.set("smtp_url", "smtp://127.0.0.1:1")
    place.refuse("daily_aggregates", "2026-02-10")
    assert send(place, instance).failed == {"email": "the mail could not be sent (ConnectionRefusedError)"}
    place.set("smtp_url", f"smtp://127.0.0.1:{mail.port}")
    mail.refuses = True
    assert send(place, instance).failed == {"email": "the mail server answered 451"}
    mail.refuses = False
    assert send(place, instance).failed == {}
    assert len(mail.mails) == 1


def test_a_password_is_not_sent_without_tls_beyond_this_machine(place: Place) -> None:
    from orchestration.alerts.receivers import Email

    place.set("alert_email_to", "on-duty@example.com")
    place.set("alert_email_from", "clicklake@example.com")
    place.set("smtp_url", f"smtp://user:{SECRET}@mail.example.com")
    [receiver] = receivers_of(place.settings)
    assert isinstance(receiver, Email)
    with pytest.raises(DeliveryError, match="offers no TLS") as raised:
        receiver._log_in(None, is_private=False)  # type: ignore[arg-type]
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(("scheme", "from_the_start"), [("smtp", False), ("smtps", True)])
def test_mail_goes_over_tls_to_a_server_that_is_trusted(
    place: Place, instance: dg.DagsterInstance, scheme: str, from_the_start: bool
) -> None:
    pem = certificate(place.folder)
    place.set("alert_email_to", "on-duty@example.com")
    place.set("alert_email_from", "clicklake@example.com")
    place.refuse("daily_aggregates", "2026-02-10")
    with mail_server(pem, from_the_start) as server:
        place.set("smtp_url", f"{scheme}://user:{SECRET}@127.0.0.1:{server.port}")
        assert send(place, instance).failed == {"email": "the mail could not be sent (SSLCertVerificationError)"}
        assert server.logins == server.mails == []
        place.patch.setenv("SSL_CERT_FILE", str(pem))
        assert send(place, instance).failed == {}
        assert len(server.logins) == len(server.mails) == 1


def test_sixty_bad_days_are_one_message(place: Place, instance: dg.DagsterInstance, webhook: HttpReceiver) -> None:
    place.set("alert_webhook_url", webhook.url)
    days = [(dt.date(2025, 10, 1) + dt.timedelta(days=n)).isoformat() for n in range(60)]
    for day in days:
        place.refuse("daily_aggregates", day)
    send(place, instance)
    [body] = webhook.taken
    assert body["text"].startswith("Clicklake: 60 alerts opened\n")
    assert all(f"daily_aggregates {day} refused" in body["text"] for day in days)
    assert len(body["alerts"]) == 60


def test_very_many_are_several_messages(
    place: Place, instance: dg.DagsterInstance, webhook: HttpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "AT_ONCE", 2)
    place.set("alert_webhook_url", webhook.url)
    for day in range(1, 6):
        place.refuse("daily_aggregates", f"2026-02-0{day}")
    send(place, instance)
    send(place, instance)
    assert [len(body["alerts"]) for body in webhook.taken] == [2, 2, 1]


def test_a_message_has_an_end() -> None:
    notices = [Notice(OPENED, Alert("refused", f"t{n}", f"title {n}", "text")) for n in range(LISTED + 5)]
    lines = message(notices).splitlines()
    assert lines[-2:] == ["and 5 more", "Details, and what helps: clicklake alerts"]
    assert len(lines) == LISTED + 3
    assert "  text" in message(notices[:IN_FULL])
    assert "  text" not in message(notices[: IN_FULL + 1])
    assert plain("a\r\n\tb" + "x" * 1000, 10) == "a bxxxxxx…"


def test_a_redirect_is_not_followed_and_no_secret_is_in_an_error(
    place: Place, instance: dg.DagsterInstance, webhook: HttpReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    with http_receiver() as elsewhere:
        webhook.status, webhook.location = 307, f"{elsewhere.url}/taken"
        place.set("alert_webhook_url", f"{webhook.url}/{SECRET}")
        place.refuse("daily_aggregates", "2026-02-10", message=f"a message with {HASH_KEY} in it")
        sent = send(place, instance)
        assert elsewhere.bodies == []
    assert sent.failed == {"webhook": "the webhook answered 307 (redirects are not followed)"}
    place.set("alert_webhook_url", f"http://127.0.0.1:1/{SECRET}")
    assert send(place, instance).failed == {"webhook": "the webhook cannot be reached (ConnectionRefusedError)"}
    seen = caplog.text + str(sent) + place.lake.read_text(STATE_KEY) + json.dumps(webhook.bodies)
    assert "[secret]" in seen
    assert SECRET not in seen


def test_a_new_receiver_hears_of_what_is_open(
    place: Place, instance: dg.DagsterInstance, webhook: HttpReceiver
) -> None:
    place.refuse("daily_aggregates", "2026-02-10")
    send(place, instance)
    place.set("alert_webhook_url", webhook.url)
    send(place, instance)
    send(place, instance)
    assert [[alert["day"] for alert in body["alerts"]] for body in webhook.taken] == [["2026-02-10"]]


def test_a_receiver_that_is_down_for_long_hears_each_word_once(place: Place) -> None:
    state = read_state(place.lake)
    alert = Alert("refused", "t", "title", "text")
    for _ in range(5):
        note(state, [alert], ["webhook"])
        note(state, [], ["webhook"])
    note(state, [alert], ["webhook"])
    assert [notice.event for notice in state.waiting["webhook"]] == [RESOLVED, OPENED]


def test_of_senders_at_once_one_sends(place: Place, instance: dg.DagsterInstance, webhook: HttpReceiver) -> None:
    place.set("alert_webhook_url", webhook.url)
    place.refuse("daily_aggregates", "2026-02-10")
    settings = place.settings
    threads = [threading.Thread(target=send_alerts, args=(settings, instance, LOG, NOW)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(webhook.taken) == 1


def test_a_state_that_is_none_says_what_to_do(place: Place, instance: dg.DagsterInstance) -> None:
    place.lake.put_text("{}", STATE_KEY)
    with pytest.raises(Exception, match=r"alerts/state.json is not what was written there. Delete it"):
        send(place, instance)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"alert_webhook_url": f"ftp://{SECRET}"}, "CLICKLAKE_ALERT_WEBHOOK_URL: must be a url"),
        ({"smtp_url": SECRET}, "CLICKLAKE_SMTP_URL: must be smtp://"),
        ({"alert_email_to": "a@example.com"}, "CLICKLAKE_ALERT_EMAIL_TO needs CLICKLAKE_ALERT_EMAIL_FROM"),
    ],
)
def test_half_a_setting_is_an_error_at_start(place: Place, changes: dict[str, Any], told: str) -> None:
    for name, value in changes.items():
        place.set(name, value)
    with pytest.raises(Exception, match=told) as raised:
        load_settings()
    assert SECRET not in str(raised.value)


def test_an_interrupted_run_is_called_so(place: Place) -> None:
    @dg.op
    def builds() -> None:
        signal.raise_signal(signal.SIGINT)
        time.sleep(1)  # Dagster raises it at the next line

    @dg.job
    def build() -> None:
        builds()

    with dg.DagsterInstance.ephemeral() as instance:
        tags = {"dagster/partition": "2026-02-17"}
        build.execute_in_process(instance=instance, raise_on_error=False, tags=tags)
        now = dt.datetime.now(dt.UTC)
        (alert,) = failed_runs(Look(place.settings, instance, now, now.date()))
    assert alert.text.endswith(
        "it was interrupted, by Ctrl-C or by whoever ended its process; what it had published is whole"
    )
    assert alert.command == "clicklake run --from 2026-02-17 --to 2026-02-17"


@pytest.mark.parametrize("is_set", [False, True])
def test_whoever_sends_to_nobody_is_told(place: Place, webhook: HttpReceiver, is_set: bool) -> None:
    from orchestration.cli import cli

    place.set("alert_late_hours", "80000")
    place.patch.setenv("DAGSTER_HOME", str(place.folder / "dagster"))
    if is_set:
        place.set("alert_webhook_url", webhook.url)
    done = CliRunner().invoke(cli, ["alerts", "--send"])
    assert done.exit_code == 0
    assert ("Nothing was sent: no receiver is set" in done.output) is not is_set

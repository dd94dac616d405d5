"""What a release covers, and what it does not; every release is kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from ingest.days import parse_day
from ingest.lake.files import Lake
from ingest.lake.layout import Partition
from ingest.partition.day import DayResult
from ingest.partition.ledger import fingerprint
from ingest.partition.quarantine import Refused, objects_judged, refused_partitions
from ingest.partition.releases import Release, accepted_failures, release_of, releases, write_release
from orchestration.cli import pipeline
from orchestration.cli import release as release_command
from tests.log_lines import DAY, LogDay, lines, log
from tests.partitions import days_of, events_of, logs_of

NOW = datetime(2026, 1, 13, 9, 30, tzinfo=UTC)


@pytest.fixture
def day(tmp_path: Path) -> LogDay:
    made = LogDay(tmp_path)
    made.add(log([*lines(50), *[b"broken"] * 10]))
    assert not made.ingest().published
    return made


def release(lake: Lake, moment: datetime = NOW) -> str:
    """What the command writes of the one refused partition."""
    (refused,) = refused_partitions(lake)
    made = Release(
        refused.partition, refused.reasons, "agreed", "ann", moment.isoformat(),
        fingerprint(objects_judged(lake, refused)),
    )  # fmt: skip
    return write_release(lake, made, moment)


def refusing(result: DayResult) -> list[str]:
    return [verdict.check for verdict in result.refusals]


def test_a_released_day_is_published_and_stays_so(day: LogDay) -> None:
    key = release(day.lake)
    result = day.ingest()
    assert (result.published, result.rows_kept, result.rows_rejected) == (True, 50, 10)
    (verdict,) = [each for each in result.verdicts if each.check == "reject_share"]
    assert (verdict.passed, verdict.released) == (False, "released by ann: agreed")
    assert day.lake.files("quarantine") == []
    assert day.ingest().published
    record = json.loads(day.lake.read_text(key))
    assert (record["table"], record["day"], record["released_by"], record["reason"]) == (
        "access_logs",
        DAY,
        "ann",
        "agreed",
    )
    assert record["checks"][0]["figures"]["rows_rejected"] == 10


def test_a_release_does_not_hold_for_other_objects(day: LogDay) -> None:
    release(day.lake)
    assert day.ingest().published
    day.add(log([*lines(5, 100), b"broken"]), "late")
    result = day.ingest()
    assert refusing(result) == ["reject_share"]
    assert "(a release of other versions of the objects is there)" in result.reason
    assert len(day.rows()) == 50  # the released version stands
    release(day.lake, NOW + timedelta(hours=1))
    assert day.ingest().published
    assert len(releases(day.lake, logs_of(DAY))) == 2


def test_a_release_is_of_the_checks_that_refused_and_of_no_other(day: LogDay) -> None:
    release(day.lake)
    day.allow(volume_blocks=True, volume_factor=1.0001)
    before = "2026-01-05"
    day.add(log(lines(500, date=before)), day=before)
    day.ingest(day=before)
    assert refusing(day.ingest()) == ["volume"]  # reject_share is released
    release(day.lake, NOW + timedelta(hours=1))
    assert day.ingest().published  # each by a release of its own


def test_vanished_objects_are_released_for_what_is_listed_then(tmp_path: Path) -> None:
    day = LogDay(tmp_path)
    keys = [day.add(log(lines(10, start=10 * number)), name) for number, name in enumerate("abc")]
    assert day.ingest().published
    (day.logs / keys[0]).unlink()
    assert refusing(day.ingest()) == ["objects_kept"]
    release(day.lake)
    result = day.ingest()
    assert (result.published, result.rows_kept) == (True, 20)
    assert refusing(day.ingest()) == []  # the ledger knows two objects now
    (day.logs / keys[1]).unlink()
    assert refusing(day.ingest()) == ["objects_kept"]
    (day.logs / keys[2]).unlink()
    assert refusing(day.ingest()) == ["objects_present", "objects_kept"]
    assert len(day.rows()) == 20
    release(day.lake, NOW + timedelta(hours=1))
    result = day.ingest()
    assert (result.published, result.rows_kept, len(day.rows())) == (True, 0, 0)


def test_a_good_day_looks_for_no_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    day = LogDay(tmp_path)
    day.add(log(lines(10)))
    monkeypatch.setattr("ingest.partition.releases.releases", lambda *_: pytest.fail("asked for releases"))
    assert day.ingest().published


def test_the_fingerprint_is_of_versions_in_any_order() -> None:
    versions = [("a", "1", 10), ("b", "2", 20)]
    assert fingerprint(versions) == fingerprint(reversed(versions))
    assert len({fingerprint(each) for each in (versions, versions[:1], [("a", "1", 11), versions[1]], [])}) == 4


def sessions(day: str) -> Partition:
    return Partition("sessions", parse_day(day))


def test_the_failures_of_a_mart_that_were_accepted(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))

    def accept(day: str, hours: int, **failures: int) -> None:
        moment = NOW + timedelta(hours=hours)
        checks = [{"check": name, "message": "", "failures": number} for name, number in failures.items()]
        made = Release(sessions(day), checks, "why", f"ann {hours}", moment.isoformat())
        write_release(lake, made, moment)

    assert accepted_failures(lake, "sessions", "grain", days_of(DAY)) == -1
    accept(DAY, 0, grain=7, nulls=1)
    accept(DAY, 1, grain=3)
    accept("2026-01-14", 2, grain=5)
    assert accepted_failures(lake, "sessions", "grain", days_of(DAY)) == 3  # the latest that names it
    assert accepted_failures(lake, "sessions", "nulls", days_of(DAY)) == 1
    assert accepted_failures(lake, "sessions", "grain", days_of("2026-01-13")) == -1
    assert accepted_failures(lake, "sessions", "grain", days_of(DAY, "2026-01-13", "2026-01-14")) == 5
    assert accepted_failures(lake, "site_daily", "grain", days_of(DAY)) == -1
    found = release_of(lake, sessions(DAY), "grain")
    other = release_of(lake, sessions("2026-01-20"), "grain")
    assert (found and found.released_by, other and other.released_by) == ("ann 1", "ann 2")
    assert release_of(lake, sessions(DAY), "else") is None


def test_releases_of_a_site_are_its_own(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    for site in ("a.example", "b/../c.example"):
        write_release(lake, Release(events_of(DAY, site), [], site, "ann", NOW.isoformat()), NOW)
    assert releases(lake, events_of(DAY)) == []
    assert [each.reason for each in releases(lake, events_of(DAY, "a.example"))] == ["a.example"]
    assert [each.partition.site for each in releases(lake, events_of(DAY, "b/../c.example"))] == ["b/../c.example"]


def test_a_release_of_days_runs_the_refused_site_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[tuple[list[date], Sequence[str]]] = []

    def run_days(days: list[date], publishes: bool, sites: Sequence[str], reads_raw: bool) -> pipeline.PipelineResult:
        ran.append((days, sites))
        return pipeline.PipelineResult(days)

    monkeypatch.setattr(pipeline, "run_days", run_days)
    refused = [
        Refused(events_of(day, site), [], 1, NOW) for day, site in ((DAY, "b.example"), ("2026-01-13", "a.example"))
    ]
    release_command._run(refused, publishes=False)
    assert ran == [(days_of(DAY, "2026-01-13"), ["a.example", "b.example"])]

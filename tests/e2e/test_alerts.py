"""From a bad day, a failed run or an unknown code to one message, through the sensor and the command. Real runs."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest

from tests.alert_fixtures import HttpReceiver, http_receiver
from tests.environment_fixtures import SECRET, Caller, Environment
from tests.log_lines import lines, log

RAW = dg.AssetKey("raw_access_logs")


@pytest.fixture
def webhook(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpReceiver]:
    monkeypatch.setenv("CLICKLAKE_ALERT_LATE_HOURS", "1000")  # else it would depend on the hour of this run
    with http_receiver() as receiver:
        monkeypatch.setenv("CLICKLAKE_ALERT_WEBHOOK_URL", f"{receiver.url}/{SECRET}")
        yield receiver


def closed_day() -> str:
    from orchestration.operations.sensors import last_closed_day

    return last_closed_day(dt.datetime.now(dt.UTC)).isoformat()


def put(environment: Environment, day: str, name: str = "a", is_good: bool = True) -> None:
    rows = [row.replace(b"2026-01-12", day.encode(), 1) for row in lines(20)] if is_good else [b"no log line"] * 20
    environment.put_object(f"E1TEST.{day}-10.{name}.gz", log(rows))


def ingest(environment: Environment, instance: dg.DagsterInstance, day: str) -> bool:
    return environment.job("daily_build", instance, [day], selection=[RAW]).success


def tick(instance: dg.DagsterInstance) -> str:
    """One evaluation of the sensor. Returns what it says of itself."""
    from orchestration.definitions import defs

    resources = {"lakehouse": defs.resources["lakehouse"]}
    with dg.build_sensor_context(instance=instance, definitions=defs, resources=resources) as context:
        return str(defs.resolve_sensor_def("alerts").evaluate_tick(context).skip_message)


def told(webhook: HttpReceiver) -> list[list[tuple[str, str]]]:
    """(event, key) of each message that was taken."""
    return [[(alert["event"], alert["key"]) for alert in body["alerts"]] for body in webhook.taken]


def test_a_refused_day_is_one_message_and_its_mending_another(
    environment: Environment, instance: dg.DagsterInstance, webhook: HttpReceiver
) -> None:
    """The run that was refused has failed, too: that is no second alert. The receiver is down at first."""
    day = closed_day()
    key = f"refused:raw_access_logs:{day}"
    put(environment, day, is_good=False)
    assert not ingest(environment, instance, day)
    assert not ingest(environment, instance, day)

    webhook.status = 500
    assert tick(instance) == "1 alert open, 1 notice new; the webhook answered 500; tried again at the next tick"
    webhook.status = 200
    assert [tick(instance) for _ in range(3)] == ["1 alert open, 0 notices new"] * 3
    assert told(webhook) == [[("opened", key)]]
    assert "reject_share: 20 of 20 rows rejected" in webhook.taken[0]["text"]

    put(environment, day)
    assert ingest(environment, instance, day)
    assert tick(instance) == "0 alerts open, 1 notice new"
    assert told(webhook) == [[("opened", key)], [("resolved", key)]]


def test_a_failed_run_is_told_until_the_day_is_run_again(
    environment: Environment, instance: dg.DagsterInstance, webhook: HttpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = closed_day()
    put(environment, day)
    with monkeypatch.context() as patch:
        patch.setenv("CLICKLAKE_LOGS", "s3://no-such-bucket/logs")
        for _ in range(2):
            assert not ingest(environment, instance, day)
    key = f"run_failed:raw_access_logs:{day}"
    for _ in range(2):
        tick(instance)
    assert told(webhook) == [[("opened", key)]]
    [alert] = webhook.taken[0]["alerts"]
    assert "no such bucket" in alert["text"]
    assert alert["command"] == f"clicklake run --from {day} --to {day}"

    assert ingest(environment, instance, day)
    tick(instance)
    assert told(webhook)[1:] == [[("resolved", key)]]
    assert SECRET not in json.dumps(webhook.bodies)


def test_a_run_that_ended_without_a_word_is_told(
    environment: Environment, instance: dg.DagsterInstance, webhook: HttpReceiver
) -> None:
    run = instance.create_run_for_job(_job(), tags={"dagster/partition": "2026-01-12"})
    instance.report_run_failed(run)
    tick(instance)
    assert told(webhook) == [[("opened", "run_failed:daily_build:2026-01-12")]]


def _job() -> Any:
    from orchestration.definitions import defs

    return defs.resolve_job_def("daily_build")


def verdict(instance: dg.DagsterInstance, day: str, *codes: str) -> None:
    """The check's verdict on a day, as publishing reports it."""
    from orchestration.publishing.mongodb_target import PUBLICATIONS_MAPPED
    from orchestration.publishing.targets.performance_entries import TARGET

    @dg.op
    def publish(context) -> None:  # type: ignore[no-untyped-def]
        context.log_event(
            dg.AssetCheckEvaluation(
                asset_key=dg.AssetKey(TARGET.name),
                check_name=PUBLICATIONS_MAPPED.name,
                passed=not codes,
                severity=dg.AssetCheckSeverity.WARN,
                partition=day,
                metadata={"codes": list(codes)},
            )
        )

    @dg.job
    def verdicts() -> None:
        publish()

    assert verdicts.execute_in_process(instance=instance).success


def test_an_unmapped_publication_is_told_once_for_all_days(
    environment: Environment, instance: dg.DagsterInstance, webhook: HttpReceiver
) -> None:
    verdict(instance, "2026-01-12", "new-paper")
    tick(instance)
    verdict(instance, "2026-01-13", "new-paper", "other-paper")
    tick(instance)
    assert told(webhook) == [
        [("opened", "publications_unmapped:new-paper")],
        [("opened", "publications_unmapped:other-paper")],
    ]
    for day in ("2026-01-12", "2026-01-13"):
        verdict(instance, day)
    tick(instance)
    assert len(told(webhook)[2]) == 2

    verdict(instance, "2026-01-14", *(f"junk-{number}" for number in range(40)))
    tick(instance)
    assert told(webhook)[3] == [("opened", "publications_unmapped:many")]


def test_the_command_shows_and_sends(
    environment: Environment, call: Caller, webhook: HttpReceiver, tmp_path: Any
) -> None:
    done = call("alerts")
    assert (done.returncode, done.stdout) == (0, "No alert is open.\n")

    environment.lake.put_text(
        json.dumps({"table": "sessions", "day": "2026-01-12", "reasons": [{"check": "c", "message": "[bad] rows"}]}),
        "quarantine/sessions/day=2026-01-12/verdict.json",
    )
    done = call("alerts")
    assert done.returncode == 0
    assert "sessions 2026-01-12 refused: c: [bad] rows. Nothing of it is published." in done.stdout
    assert webhook.taken == []

    webhook.status = 500
    done = call("alerts", "--send")
    assert done.returncode == 1
    assert "the webhook answered 500; 1 notice waits for the next try" in done.stderr
    webhook.status = 200
    for _ in range(2):
        done = call("alerts", "--send", "--json")
        assert done.returncode == 0
        assert [json.loads(row)["key"] for row in done.stdout.splitlines()] == ["refused:sessions:2026-01-12"]
    assert told(webhook) == [[("opened", "refused:sessions:2026-01-12")]]

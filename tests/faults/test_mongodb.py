"""Faults of MongoDB while a day is published: whatever happens, the entries become those of the mart, each once."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import dagster as dg
import pytest

from demo.services import S3Service
from ingest.days import parse_day
from orchestration.failures import RETRIES
from orchestration.publishing.entries import ensure_indexes
from orchestration.publishing.mongodb import connect
from orchestration.publishing.targets.performance_entries import COLLECTION, KIND, publish_day
from tests.environment_fixtures import WRITTEN_AT, Environment, mart_key, new_environment
from tests.faults.fixtures import failure_of
from tests.faults.marts import AFTER, BEFORE, DAY
from tests.faults.proxy import AnswerLost, Before, Delay, Fault, Hang, MongoProxy, Refused, When, always, nth
from tests.faults.table import BY_ITSELF, BY_SECOND_RUN, Tried

pytestmark = pytest.mark.slow

OPTIONS = "?serverSelectionTimeoutMS=300&connectTimeoutMS=500&socketTimeoutMS=700"
WRITES = "^(insert|update) "
OF_THE_DAY = "^(find|insert|update) "
# What the publisher asks for in the middle of a day: read, insert, three commands of replacements, read back.
COMMANDS = 6
NO_ANSWER = rf"no answer\. Is it running, .*\(tried {RETRIES + 1} times\)$"

Documents = list[dict[str, Any]]


@dataclass
class World:
    environment: Environment
    expected: Documents
    patch: pytest.MonkeyPatch
    numbers: Iterator[int]

    def new_database(self) -> str:
        """One that holds the entries of the last good run."""
        name = f"{self.environment.bucket}-{next(self.numbers)}"
        self.patch.setenv("CLICKLAKE_MONGODB_DATABASE", name)
        with connect(self.environment.settings["CLICKLAKE_MONGODB_URL"]) as client:
            ensure_indexes(client[name], KIND)
            publish_day(client[name], parse_day(DAY), BEFORE)
        return name

    def documents(self, name: str) -> Documents:
        """Without ids and times of writing, but with whether they are deleted."""
        with connect(self.environment.settings["CLICKLAKE_MONGODB_URL"]) as client:
            found = list(client[name][COLLECTION].find())
        kept = [
            {key: value for key, value in each.items() if key not in WRITTEN_AT} | {"isDeleted": "deletedAt" in each}
            for each in found
        ]
        return sorted(kept, key=str)

    def publish(self) -> dg.ExecuteInProcessResult:
        with dg.DagsterInstance.ephemeral() as instance:
            return self.environment.job("publish", instance, [DAY], [dg.AssetKey("performance_entries")])


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory,
    s3_client: Any,
    s3_service: S3Service,
    embedded_mongodb_url: str,
    manifest: None,
) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("mongodb-faults")
    with (
        pytest.MonkeyPatch.context() as patch,
        new_environment(folder, s3_client, s3_service, embedded_mongodb_url) as environment,
    ):
        environment.lake.put_table(AFTER.drop_columns(["report_date"]), mart_key(DAY))
        made = World(environment, [], patch, count())
        undisturbed = made.new_database()
        assert made.publish().success
        made.expected = made.documents(undisturbed)
        assert [each["isDeleted"] for each in made.expected].count(False) == len(AFTER)
        yield made


@pytest.fixture
def proxy(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[MongoProxy]:
    address = urlsplit(world.environment.settings["CLICKLAKE_MONGODB_URL"])
    with MongoProxy(address.hostname or "", address.port or 0).running() as made:
        assert isinstance(made, MongoProxy)
        monkeypatch.setenv("CLICKLAKE_MONGODB_URL", made.url + OPTIONS)
        yield made


@dataclass(frozen=True)
class Case:
    """A fault of some commands, who gets over it, and what is said where nobody does at once."""

    fault: Fault
    when: When
    commands: str = WRITES
    outcome: str = BY_ITSELF
    says: str = ""


CASES = {
    "MongoDB: slow": Case(Delay(0.1), always, OF_THE_DAY),
    "MongoDB: accepts and says nothing": Case(Hang(), nth(2)),
    "MongoDB: no longer primary": Case(Refused("10107 NotWritablePrimary"), nth(1, 3)),
    "MongoDB: steps down": Case(Refused("189 PrimarySteppedDown"), nth(2)),
    "MongoDB: out of disk space": Case(
        Refused("14031 OutOfDiskSpace"), nth(2), WRITES, BY_SECOND_RUN, r"its disk is full\. Free or add space there"
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_fault_of_commands(world: World, proxy: MongoProxy, tried: Tried, name: str) -> None:
    case = CASES[name]

    @contextmanager
    def disturbed() -> Iterator[None]:
        with proxy.fault(case.commands, case.fault, case.when) as rule:
            yield
        assert rule.done

    get_over(world, disturbed, tried, name, case.outcome, case.says)


@pytest.mark.parametrize("number", range(1, COMMANDS + 1))
def test_an_answer_is_lost(world: World, proxy: MongoProxy, tried: Tried, number: int) -> None:
    """What the command did is there all the same, and is not done a second time."""

    @contextmanager
    def disturbed() -> Iterator[None]:
        with proxy.fault(OF_THE_DAY, AnswerLost(), nth(number)) as rule:
            yield
        assert rule.done == 1

    get_over(world, disturbed, tried, "MongoDB: a command takes effect and its answer is lost", BY_ITSELF)


@pytest.mark.parametrize("number", range(1, COMMANDS + 1))
def test_it_goes_down_in_the_middle_of_a_day(world: World, proxy: MongoProxy, tried: Tried, number: int) -> None:
    @contextmanager
    def disturbed() -> Iterator[None]:
        with proxy.fault(OF_THE_DAY, Before(proxy.go_down), nth(number)) as rule:
            yield
        assert rule.done == 1
        proxy.come_back()

    name = "MongoDB: goes down in the middle of a day, after each command"
    get_over(world, disturbed, tried, name, BY_SECOND_RUN, NO_ANSWER)


def test_it_is_down_at_the_start(world: World, proxy: MongoProxy, tried: Tried) -> None:
    @contextmanager
    def disturbed() -> Iterator[None]:
        proxy.go_down()
        yield
        proxy.come_back()

    get_over(world, disturbed, tried, "MongoDB: down at the start", BY_SECOND_RUN, "connecting: " + NO_ANSWER)


def test_it_is_away_for_a_moment(world: World, proxy: MongoProxy, tried: Tried) -> None:
    @contextmanager
    def disturbed() -> Iterator[None]:
        back = threading.Timer(0.6, proxy.come_back)
        with proxy.fault(WRITES, Before(lambda: (proxy.go_down(), back.start())), nth(2)):
            yield
        back.join()

    get_over(world, disturbed, tried, "MongoDB: away for a moment", BY_ITSELF)


def get_over(world: World, disturbed: Callable[[], Any], tried: Tried, name: str, outcome: str, says: str = "") -> None:
    """Publishes under a fault and, where that failed, once more without it."""
    database = world.new_database()
    before = world.documents(database)
    with disturbed():
        first = world.publish()
    found = world.documents(database)
    if not first.success:
        said = failure_of(first)
        assert re.search(says, said)
        assert "\n" not in said
        assert all(each in before or each in world.expected for each in found)  # each entry is whole
        assert world.publish().success
        found = world.documents(database)
    assert found == world.expected
    lost = len(world.expected) - len(found)
    assert outcome == (BY_ITSELF if first.success else BY_SECOND_RUN)
    tried(name, outcome, lost)

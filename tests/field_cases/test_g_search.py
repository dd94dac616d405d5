"""Two hundred values of people, hidden in every way and every place; then everything that a run has written is searched
for them: the lake and its quarantine, MongoDB, Dagster's storage, logs, metrics, alerts and OpenLineage."""

from __future__ import annotations

import gzip
import html
import io
import json
import random
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, unquote

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest.schema import ACCESS_LOG_FIELDS
from tests.alert_fixtures import http_receiver
from tests.environment_fixtures import DAYS, Environment, good, new_environment
from tests.event_lines import event_key, line, pixel
from tests.log_lines import request
from tests.private_lines import MARKS, private_events, rejected_lines

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SEED = 20260112
DAY = DAYS[0]
KINDS = ("email", "phone", "address")
DOMAINS = ("m\u00fcller.de", "mail-marked.example")


def wide(text: str) -> str:
    """In full-width letters, digits and signs."""
    return "".join(chr(ord(each) + 0xFEE0) if "!" <= each <= "~" else each for each in text)


def entities(text: str) -> str:
    return "".join(each if each.isalpha() else f"&#{ord(each)};" for each in text)


def escaped(text: str) -> str:
    return "".join(each if each.isalpha() else f"%{ord(each):02X}" for each in text)


WAYS: tuple[Callable[[str], str], ...] = (
    str,
    lambda text: quote(text, safe=""),
    lambda text: quote(quote(text, safe=""), safe=""),
    lambda text: "".join(f"%{ord(each):02x}" for each in text),
    escaped,
    wide,
    entities,
    lambda text: quote(entities(text), safe=""),
    str.upper,
    lambda text: f"sess_{text}_1",
    lambda text: f"10.0.0.1,{text}",
)


class Hidden:
    """Values from a seed, each asked for once, and what of each must be found nowhere."""

    def __init__(self) -> None:
        self.random = random.Random(SEED)
        self.marks: list[tuple[str, str]] = []
        self.numbers: Iterator[int] = iter(range(10_000))

    def value(self, kind: str | None = None, plain: bool = False) -> str:
        number = next(self.numbers)
        kind = kind or KINDS[number % 3]
        way = str if plain else WAYS[number // 3 % len(WAYS)]
        digits = self.random.randrange(10**6)
        if kind == "email":
            name = f"zq{digits:06x}mark"
            self.marks.append((kind, name))
            return way(f"{name}@{self.random.choice(DOMAINS)}")
        if kind == "address":
            octets = [str(self.random.randrange(20, 220)) for _ in range(3)]
            self.marks.append((kind, ".".join(("203", *octets))))
            return way(self.marks[-1][1])
        subscriber = f"20{digits % 9000 + 1000}{self.random.randrange(1000, 10_000)}"
        self.marks.append((kind, subscriber))
        return way(f"+44 (0) {subscriber[:2]} {subscriber[2:6]} {subscriber[6:]}")


def in_log(text: str) -> str:
    """As CloudFront logs it: blanks and what is not ASCII are encoded."""
    return quote(text, safe="%&=+(),.:;@/_-#?$!*'")


def log_rows(hidden: Hidden) -> list[dict[str, str]]:
    """Clicks and impressions with a value in each parameter and in each column of text."""
    found = []
    for parameter in ("oid", "cid", "pid", "ch", "cr", "s", "r"):
        for path in ("/c", "/pxl.png"):
            value = quote(hidden.value(), safe="%")
            found.append(request(**{"cs-uri-stem": path, "cs-uri-query": f"{parameter}={value}&x={value}"}))
    for column in (
        "cs-uri-stem cs(Referer) cs(User-Agent) cs-method cs(Host) x-host-header x-edge-request-id sc-content-type "
        "x-edge-location x-edge-result-type x-edge-response-result-type ssl-protocol ssl-cipher cs-protocol fle-status "
        "x-forwarded-for cs(Cookie) c-ip"
    ).split():
        for kind in KINDS:
            value = hidden.value(kind)
            found.append(request(**{column: in_log(f"/{value}" if column == "cs-uri-stem" else value)}))
    return found


def event_fields(hidden: Hidden) -> dict[str, Any]:
    """Values in ids, parameters, deep fields, arrays and keys."""
    v = hidden.value
    query = "&".join(f"{name}={quote(v(), safe='%')}" for name in ("utm_term", "utm_source", "gclid", "click"))
    deep: dict[str, Any] = {"a": [{"b": {"c": [{"text": v()}, [v()], {f"k {v('email', plain=True)}": 1}]}}]}
    return {
        "url": f"https://x.example/{quote(v('email'), safe='%')}?{query}",
        "sessionId": v(),
        "visitorId": v(),
        "userId": v(),
        "eventId": v(),
        "page": {"title": v(), "referrer": f"https://y.example/?q={quote(v(), safe='%')}"},
        "eventData": deep | {"emails": [{"value": v("email")}], "payload": json.dumps(json.dumps({"x": v()}))},
        "identity": {"userPhone": v("phone"), "list": [v() for _ in range(3)]},
        "normalized": {"deep": {"deeper": {"deepest": [v(), v()]}}},
        "browser": {"userAgent": f"Mozilla/5.0 ({v()})", "language": v(), "timezone": v()},
        v("email", plain=True): 1,
    }


def log_bodies(hidden: Hidden) -> dict[str, bytes]:
    """Objects of logs: text, with values in its header and stray tabs; JSON lines; Parquet."""
    rows = log_rows(hidden)
    fields = [*ACCESS_LOG_FIELDS, quote(hidden.value("email", plain=True))]
    lines = ["#Version: 1.0", "#Fields: " + " ".join(fields)]
    for number, row in enumerate(rows):
        values = [row.get(name, "-") for name in ACCESS_LOG_FIELDS] + ["-"]
        if number % 5 == 0:
            values.insert(number % 12, "stray")
        lines.append("\t".join(values))
    lines += [in_log(f"broken {hidden.value()}") for _ in range(9)]
    as_json = [json.dumps(row | {f"x {hidden.value('email', plain=True)}": "1"}) for row in rows[::3]]
    as_json += [json.dumps({"date": "soon", "note": hidden.value()})[:-2] for _ in range(9)]
    table = pa.Table.from_pylist([{name: row.get(name) for name in ACCESS_LOG_FIELDS} for row in rows[1::3]])
    parquet = io.BytesIO()
    pq.write_table(table.append_column(hidden.value("email", plain=True), pa.nulls(len(table), pa.string())), parquet)
    return {
        f"E1TEST.{DAY}-10.text.gz": gzip.compress("\n".join([*lines, ""]).encode()),
        f"{hidden.value('address', plain=True)}/E1TEST.{DAY}-11.json": "\n".join([*as_json, ""]).encode(),
        f"{hidden.value('email', plain=True)}/E1TEST.{DAY}-12.parquet": parquet.getvalue(),
    }


Searched = tuple[Environment, dict[str, str], Hidden, dict[str, bytes]]


@pytest.fixture(scope="module")
def searched(
    tmp_path_factory: pytest.TempPathFactory, s3_client: Any, s3_service: Any, embedded_mongodb_url: str, manifest: None
) -> Iterator[Searched]:
    """A run over all of it: a site that is published, one that is refused, and one that is named as an address."""
    hidden = Hidden()
    folder = tmp_path_factory.mktemp("searched")
    with new_environment(folder, s3_client, s3_service, embedded_mongodb_url, has_events=True) as environment:
        environment.put(good(DAY))
        sent = log_bodies(hidden)
        for key, body in sent.items():
            environment.put_object(key, body)
        at = f"{DAY}T10:00:00.000Z"
        events = [line(pixel(timestamp=at) | event_fields(hidden)) for _ in range(4)]
        events += [line(event) for number in range(2) for event in private_events(number)]
        broken = [line({"eventType": 5} | event_fields(hidden)), line(event_fields(hidden))[:-9], *rejected_lines()]
        plain = [line(pixel(eventId=f"plain {n}")) for n in range(2_000)]
        sites = {"private.example": [*plain, *events, *broken], "refused.example": broken * 2}
        sites[hidden.value("email", plain=True)] = events
        for site, lines in sites.items():
            name = hidden.value("address", plain=True) + "/a"
            sent[f"{site} {name}"] = b"\n".join(lines)
            environment.put_event_object(
                event_key(site, DAY, "a").replace("/events", f"/{name}/events"), b"\n".join(lines)
            )
        with http_receiver() as alerted, http_receiver() as traced:
            told = {"alert_webhook_url": alerted.url, "alert_late_hours": "87600", "openlineage_url": traced.url}
            commands = (
                ("run", "--from", DAY), ("status",), ("metrics", "--once"), ("quarantine", "list"), ("alerts", "--send")
            )  # fmt: skip
            said = [environment.command(*words, log_format="json", **told) for words in commands]
            tell_of_runs(traced.url)
        outputs = {command[0]: done.stdout + done.stderr for command, done in zip(commands, said, strict=True)}
        outputs |= {"alert": json.dumps(alerted.taken), "OpenLineage": json.dumps(traced.taken)}
        outputs["documents"] = json.dumps(environment.documents(), default=str)
        yield environment, outputs, hidden, sent


def tell_of_runs(url: str) -> None:
    """What the daemon does: a tick of the sensor that tells of runs."""
    from orchestration.definitions import defs

    with pytest.MonkeyPatch.context() as patch, dg.DagsterInstance.get() as instance:
        patch.setenv("CLICKLAKE_OPENLINEAGE_URL", url)
        resources = {"lakehouse": defs.resources["lakehouse"]}
        with dg.build_sensor_context(instance=instance, definitions=defs, resources=resources) as context:
            told = defs.resolve_sensor_def("lineage").evaluate_tick(context)
    assert told.skip_message == "told of all runs"


def forms(text: str) -> tuple[str, str]:
    """(the text with all encodings taken off, the same without what may stand between the digits of a number)."""
    for _ in range(3):
        text = html.unescape(unquote(text)).replace("\\u0040", "@")
    plain = unicodedata.normalize("NFKC", text).lower()
    return plain, plain.translate(dict.fromkeys(map(ord, " ().+/_-\u00a0")))


def written(environment: Environment, outputs: dict[str, str]) -> Iterator[tuple[str, str]]:
    yield from ((name, json_text(text)) for name, text in outputs.items())
    for path in (path for path in environment.folder.rglob("*") if path.is_file()):
        yield str(path), str(path) + path.read_bytes().decode("utf-8", "replace")
        if path.suffix == ".parquet":
            yield (
                f"{path} (values)",
                json.dumps(pq.ParquetFile(path).read().to_pylist(), default=str, ensure_ascii=False),
            )


def found_in(text: str, marks: list[tuple[str, str]]) -> list[str]:
    plain, joined = forms(text)
    return [mark for kind, mark in marks if mark in (joined if kind == "phone" else plain)]


def in_plain_sight(text: str) -> list[str]:
    """What of the other events, whose values are written as they are, stands in a text."""
    lowered = text.lower()
    return [mark for mark in MARKS if mark.lower() in lowered]


def test_g_two_hundred_hidden_values_are_nowhere(searched: Searched) -> None:
    environment, outputs, hidden, _ = searched
    said = outputs["run"]
    assert "raw_events refused (reject_share): refused.example: " in said
    rows = environment.rows()
    for layer in (
        "raw/access_logs", "raw/events", "rejects/access_logs", "rejects/events", "ledger/access_logs", "ledger/events",
        "marts/sessions", "marts/site_daily", "marts/daily_aggregates",
    ):  # fmt: skip
        assert any(key.startswith(layer) and len(table) for key, table in rows.items()), (layer, said)
    assert any(key.startswith("quarantine/events") for key in environment.contents("quarantine"))
    reasons = {
        each["reason"] for key, table in rows.items() if key.startswith("rejects/events") for each in table.to_pylist()
    }
    assert {"bad_timestamp", "bad_json", "schema", "unknown_shape"} <= reasons
    assert environment.documents()
    assert any(path.suffix == ".db" for path in environment.home.rglob("*"))
    for name, mark in (("run", '"event": "STEP_FAILURE"'), ("metrics", "clicklake_runs"), ("quarantine", "refused"),
                       ("alert", "reject_share"), ("OpenLineage", "raw_events refused")):  # fmt: skip
        assert mark in outputs[name], (name, outputs[name])
    texts = dict(written(environment, outputs))
    found = {
        name: marks for name, text in texts.items() if (marks := found_in(text, hidden.marks) + in_plain_sight(text))
    }
    kinds = Counter(kind for kind, _ in hidden.marks)
    print(f"seed {SEED}: {dict(kinds)} hidden, {len(texts)} texts searched, {sum(map(len, texts.values()))} characters")
    assert len(hidden.marks) >= 200
    assert found == {}


def test_g_the_search_would_find_each_value(searched: Searched) -> None:
    _, _, hidden, sent = searched
    texts = [*sent, *(gzip.decompress(body).decode() if body[:2] == b"\x1f\x8b" else "" for body in sent.values())]
    texts += [re.sub(r"\\+u", r"\\u", body.decode("utf-8", "replace")) for body in sent.values()]
    texts += [str(pq.read_table(io.BytesIO(body)).to_pydict()) for body in sent.values() if body[:4] == b"PAR1"]
    everything = "\n".join(json_text(text) for text in texts)
    there = set(found_in(everything, hidden.marks))
    assert [mark for _, mark in hidden.marks if mark not in there] == []
    assert in_plain_sight(everything) == list(MARKS)


def json_text(text: str) -> str:
    """With JSON's escapes of what is not ASCII taken off."""
    return text if "\\u" not in text else text.encode("ascii", "backslashreplace").decode("unicode_escape", "replace")

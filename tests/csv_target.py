"""A target of the tests' own: a folder of CSV files, one a day, with the figures of ads."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from io import StringIO
from pathlib import Path

import pyarrow as pa

from ingest.days import parse_day
from ingest.errors import PublishError, TransientPublishError
from orchestration.marts.known import DAILY_AGGREGATES
from orchestration.publishing.target import Check, Comparison, Confirm, Report, Target, Verdict
from orchestration.settings import TEST_PREFIX, Settings

FOLDER = f"{TEST_PREFIX}CSV_FOLDER"
KEY = ("order_id", "campaign_id", "publication_code", "channel", "creative_id", "ad_size")
MEASURES = ("impressions", "clicks")


def _lacks(_: Settings) -> str | None:
    return None if os.environ.get(FOLDER) else f"No CSV files are written: {FOLDER} is not set"


def _place(_: Settings) -> tuple[str, str]:
    return "file", os.environ.get(FOLDER, "")


@contextmanager
def _open(_: Settings) -> Iterator[Path]:
    folder = Path(os.environ[FOLDER])
    if not folder.parent.is_dir():
        raise TransientPublishError(f"{folder.parent} is not there. Is it mounted?")
    folder.mkdir(exist_ok=True)
    yield folder


def _publish(folder: Path, day: date, rows: pa.Table, confirm: Confirm) -> Report:
    path = folder / f"{day}.csv"
    if path.is_dir():
        raise PublishError(f"{path.name} is a folder. Remove it, then publish the day again")
    text = _text(rows)
    is_changed = not path.exists() or path.read_text("utf-8") != text
    if is_changed:
        path.write_text(text, "utf-8")
    figures = {"lines": rows.num_rows, "written": rows.num_rows if is_changed else 0}
    nameless = sorted({row["publication_code"] for row in rows.to_pylist() if row["publication_id"] is None})
    verdicts = {
        "read_back": Verdict(path.read_text("utf-8") == text, "the file holds what the mart holds", figures),
        "publications_named": Verdict(not nameless, f"without a name: {', '.join(nameless) or 'none'}"),
    }
    return Report(figures, verdicts)


def _text(rows: pa.Table) -> str:
    kept = rows.select([*KEY, *MEASURES]).sort_by([(name, "ascending") for name in KEY])
    text = StringIO()
    writer = csv.DictWriter(text, [*KEY, *MEASURES], lineterminator="\n")
    writer.writeheader()
    writer.writerows(kept.to_pylist())
    return text.getvalue()


def _published(folder: Path, first: date, last: date) -> dict[date, tuple[float, ...]]:
    found = {}
    for path in folder.glob("*.csv"):
        if first <= parse_day(path.stem) <= last:
            lines = list(csv.DictReader(StringIO(path.read_text("utf-8"))))
            found[parse_day(path.stem)] = (len(lines), *(sum(int(line[name]) for line in lines) for name in MEASURES))
    return found


TARGET = Target(
    name="csv_files",
    mart=DAILY_AGGREGATES,
    description="One CSV file for each day, with a line for each order, campaign, publication, channel and creative.",
    kinds=frozenset({"csv", "python"}),
    key=KEY,
    measures=MEASURES,
    checks=(
        Check("read_back", "The file of the day holds what the mart holds", blocks=True),
        Check("publications_named", "Every line has a publication with a name (a warning)", blocks=False),
    ),
    count="lines",
    changes=("written",),
    lacks=_lacks,
    place=_place,
    open=_open,
    publish=_publish,
    comparison=Comparison("true", _published),
)

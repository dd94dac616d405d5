"""Local copies of the lake's files, each compared with what was recorded when it was published."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path

from ingest.errors import DamagedError, LakeError, TransientLakeError
from ingest.lake.files import Lake
from ingest.lake.layout import LAKE_FILE, MARTS, RAW, Mart, ledger_of, partition_of, table_of, value_in
from ingest.lake.records import FileRecord, files_of_ledger, files_of_mart, is_as

Ledger = Callable[[str], dict[str, FileRecord] | None]  # key of a ledger → the files that it records

AT_ONCE = 8  # files that are fetched and read at once
NAMED = 5  # files that a message names


def local_files(lake: Lake, keys: Sequence[str], folder: Path) -> dict[str, Path]:
    """Key → a local file, which does not change while `folder` exists: a copy from S3, a second name of a raw
    file or, in a folder, the file of a mart itself.

    Raises:
        DamagedError: files are not as they were published; names them, and says what to do.
        LakeError: a file cannot be read.
    """
    recorded = {mart: files_of_mart(lake, Mart(mart)) for mart in {table_of(key) for key in keys if not _is_raw(key)}}
    read = partial(files_recorded, lake, not lake.exists(LAKE_FILE))
    ledger = cache(read)  # rows of one source day lie in several files

    def look(key: str) -> Path | str:
        return (
            _raw(lake, key, folder, ledger, read) if _is_raw(key) else _mart(lake, key, folder, recorded[table_of(key)])
        )

    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="verify") as pool:
        found = dict(zip(keys, pool.map(look, keys), strict=True))
    wrong = [each for each in found.values() if isinstance(each, str)]
    if wrong:
        more = f"; and {len(wrong) - NAMED} more, which clicklake verify names" if len(wrong) > NAMED else ""
        raise DamagedError("; ".join(wrong[:NAMED]) + more)
    return {key: each for key, each in found.items() if isinstance(each, Path)}


def _is_raw(key: str) -> bool:
    return key.startswith(f"{RAW}/")


def _mart(lake: Lake, key: str, folder: Path, recorded: Mapping[str, Collection[FileRecord]]) -> Path | str:
    """The local file of a day of a mart, or what is wrong with it. A run that builds marts holds their lock, so that
    they do not change; another waits for it if a file is not as it was recorded a moment before."""
    local = _fetched(lake, key, folder) if lake.is_s3 else Path(lake.path(key))
    if is_as(local, recorded.get(key)):
        return local
    if not lake.holds(MARTS):
        with lake.lock(MARTS):
            return _mart(lake, key, folder, files_of_mart(lake, Mart(table_of(key))))
    return not_as_published(key)


def files_recorded(lake: Lake, is_early: bool, key: str) -> dict[str, FileRecord] | None:
    """What a ledger records: nothing if it cannot be read, or if the first publication of its partition was interrupted
    before it was written. None if it is of a version that recorded nothing.

    Args:
        is_early: the lake has no `lake.json`. Then ledgers may be absent, as where raw was written by hand.
    """
    try:
        found = files_of_ledger(lake, key)
        return {} if found is None and not is_early and not lake.exists(key) else found
    except TransientLakeError:
        raise
    except LakeError:
        return {}


def _raw(lake: Lake, key: str, folder: Path, ledger: Ledger, read: Ledger) -> Path | str:
    """The local file of a raw file, or what is wrong with it. Where another run publishes it at the same time, its
    ledger comes a moment later; once nobody does, the two must agree."""
    if local := _agreeing(lake, key, folder, ledger):
        return local
    partition = partition_of(key)
    assert partition is not None  # keys of raw name their source day
    with lake.lock(partition.lock):
        return _agreeing(lake, key, folder, read) or not_as_published(key)


def _agreeing(lake: Lake, key: str, folder: Path, ledger: Ledger) -> Path | None:
    """The local file if it is what its ledger says."""
    local = _fetched(lake, key, folder)
    files = ledger(ledger_of(key))
    return local if files is None or is_as(local, [files[key]] if key in files else []) else None


def _fetched(lake: Lake, key: str, folder: Path) -> Path:
    local = folder / key
    local.parent.mkdir(parents=True, exist_ok=True)
    local.unlink(missing_ok=True)
    lake.fetch(key, local)
    return local


def not_as_published(key: str) -> str:
    what = "was published" if key.startswith(f"{MARTS}/") else "its ledger says"
    return f"{key} is not what {what} (SHA-256). {to_make_again(key)}"


def to_make_again(key: str) -> str:
    """What to do about a file. A snapshot, which has no day, is made again with any day."""
    day = value_in(key, "source_date") or next((part.partition("=")[2] for part in key.split("/") if "=" in part), None)
    return f"Make it again: clicklake run --from {day or 'YYYY-MM-DD, the last published day'}"

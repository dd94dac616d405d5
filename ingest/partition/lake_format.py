"""What a lake is written by: the version of its format, and the fingerprint of its hash key. Both are in `lake.json`.

Every run that writes compares them before anything else. A lake without the file, but with ledgers that record no
files, is of an early version: its rows follow other rules than those that this version would add.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from importlib.metadata import PackageNotFoundError, version

from ingest.errors import LakeError, SettingsError
from ingest.lake.files import Lake
from ingest.lake.layout import LAKE_FILE, LEDGER, partition_of
from ingest.lake.records import files_of_ledger, ledger_record
from ingest.rows.privacy import chained

# 1: the lakes of early versions, without lake.json. 2: ledgers and records hold the SHA-256 of each file.
FORMAT = 2
LOCK = "lake"
UPGRADE, REKEY = "clicklake upgrade", "clicklake rekey"  # commands that change all of a lake


@dataclass(frozen=True)
class About:
    """What `lake.json` says.

    key: fingerprint of the hash key. made_by: the version that made the lake. is_changing: the command that is
    changing all of the lake, and whose end the other runs wait for; None if there is none. becomes: fingerprint of the
    hash key that `clicklake rekey` is changing it to.
    """

    format: int
    key: str
    made_by: str
    is_changing: str | None = None
    becomes: str | None = None


def fingerprint(hash_keys: Sequence[str]) -> str:
    """Tells hash keys from others: 64 bits of their keyed hash of a constant, from which nothing follows."""
    return chained(hash_keys)("the key of a lake")[:16]


def keys_to_come(about: About, hash_keys: Sequence[str]) -> tuple[str, ...] | None:
    """The keys that the rows of a lake are still to be changed to; None if the lake is not of the keys before them."""
    for number in range(1, len(hash_keys) + 1):
        if fingerprint(hash_keys[:number]) == about.key:
            return tuple(hash_keys[number:])
    return None


def read(lake: Lake) -> About | None:
    """
    Raises:
        LakeError: `lake.json` cannot be read, or is of a later version.
    """
    if not lake.exists(LAKE_FILE):
        return None
    try:
        told = json.loads(lake.read_bytes(LAKE_FILE))
        number = int(told["format"])
        about = About(number, str(told["key"]), str(told["made_by"]), told.get("is_changing"), told.get("becomes"))
    except (ValueError, KeyError, TypeError) as error:
        raise LakeError(
            f"{lake.uri(LAKE_FILE)} cannot be read ({type(error).__name__}). Put the lake's own file back from a copy. "
            "Without a copy, delete it: the next run writes it anew, with the hash key that the ledgers record"
        ) from error
    if number > FORMAT:
        raise LakeError(
            f"{lake.url} has format {number}, and this version of Clicklake knows {FORMAT} at most. Use the version "
            "that upgraded it, or a later one"
        )
    return about


def check(lake: Lake, hash_keys: Sequence[str], changing: str | None = None) -> None:
    """Makes sure that a run may write to the lake. The first run of a new lake writes `lake.json`.

    Args:
        changing: the command that is changing all of the lake, if it is this run.

    Raises:
        LakeError: the lake is of an early or later version, or is being changed as a whole.
        SettingsError: the lake was written with another hash key.
    """
    about = read(lake)
    if about is None:
        lake.create_text(_text(look(lake, hash_keys, changing) or _new(hash_keys)), LAKE_FILE)
        # Somebody else may have made the lake in the same moment, with another key.
        look(lake, hash_keys, changing)
    else:
        _compare(lake, about, hash_keys, changing)


def look(lake: Lake, hash_keys: Sequence[str], changing: str | None = None) -> About | None:
    """What the lake is; None for a new one. Writes nothing, and raises as `check` does."""
    about = read(lake)
    if about is None:
        about, is_early = _as_recorded(lake)
        if is_early:
            raise LakeError(
                f"{lake.url} was written by an early version of Clicklake, whose rows follow other rules. "
                f"{UPGRADE} reads its days again; with --dry-run it only says which"
            )
        if about is None:
            return None
        _compare(lake, about, hash_keys, changing, f", as its ledgers record; its {LAKE_FILE} is missing")
    else:
        _compare(lake, about, hash_keys, changing)
    return about


def _as_recorded(lake: Lake) -> tuple[About | None, bool]:
    """(what the ledgers of a lake without `lake.json` say; None if they record no key, whether one is of an early
    version).

    Raises:
        LakeError: they are of several keys.
    """
    keys = dict[str, str]()  # fingerprint → the first ledger of this key
    for file in lake.files(LEDGER):
        if partition_of(file.key):
            record = ledger_record(lake, file.key)
            if record is None:
                return None, True
            keys.setdefault(record.key, file.key)
    keys.pop("", None)
    if len(keys) > 1:
        raise LakeError(
            f"{lake.uri(LAKE_FILE)} is missing, and ledgers are of several hash keys (fingerprints: "
            f"{', '.join(f'{key} in {ledger}' for key, ledger in keys.items())}). Put the lake's own file back from a "
            "copy; docs/operations.md says what it holds"
        )
    return next((About(FORMAT, key, _version()) for key in keys), None), False


def _compare(
    lake: Lake, about: About, hash_keys: Sequence[str], changing: str | None, recorded_where: str = ""
) -> None:
    if about.is_changing and about.is_changing != changing:
        raise LakeError(f"{lake.url} is being changed by {about.is_changing}, which must end first. Run it again")
    if about.is_changing == REKEY:
        _ensure_same_change(lake, about, hash_keys)
    if keys_to_come(about, hash_keys) and changing != REKEY:
        raise LakeError(
            f"{lake.url} was written with a hash key of CLICKLAKE_HASH_KEYS_BEFORE. {REKEY} changes its rows"
        )
    if keys_to_come(about, hash_keys) is None:
        raise SettingsError(
            f"{lake.url} was written with another hash key (fingerprint {about.key}{recorded_where}) than that of "
            f"CLICKLAKE_HASH_KEY ({fingerprint(hash_keys)}): the same addresses would get other hashes, and their "
            "owners would count twice. Set CLICKLAKE_HASH_KEY to the lake's own key; to change it, also set "
            f"CLICKLAKE_HASH_KEYS_BEFORE to a list of the lake's own keys, and call {REKEY}"
        )


def _ensure_same_change(lake: Lake, about: About, hash_keys: Sequence[str]) -> None:
    """Some rows are of the key to come already, so nothing but the change to that key may go on."""
    is_same = about.becomes == fingerprint(hash_keys) if about.becomes else bool(keys_to_come(about, hash_keys))
    if not is_same:
        which = f"the key with fingerprint {about.becomes}" if about.becomes else "another key"
        raise SettingsError(
            f"{REKEY} of {lake.url} to {which} was interrupted. Set CLICKLAKE_HASH_KEY and "
            "CLICKLAKE_HASH_KEYS_BEFORE as they were when it began, and call it again"
        )


def begin_change(lake: Lake, hash_keys: Sequence[str], command: str) -> None:
    """Keeps all runs but those of this command from writing, also after it was interrupted, until it ends.

    Raises:
        LakeError, SettingsError: another command, or the same one to another key, began in the meantime.
    """
    with lake.lock(LOCK):
        about = read(lake) or _as_recorded(lake)[0] or _new(hash_keys)
        _compare(lake, about, hash_keys, command)
        becomes = fingerprint(hash_keys) if command == REKEY else None
        lake.put_text(_text(replace(about, is_changing=command, becomes=becomes)), LAKE_FILE)


def end_change(lake: Lake, hash_keys: Sequence[str]) -> None:
    with lake.lock(LOCK):
        about = read(lake)
        assert about is not None
        ended = replace(about, format=FORMAT, key=fingerprint(hash_keys), is_changing=None, becomes=None)
        lake.put_text(_text(ended), LAKE_FILE)


def early_ledgers(lake: Lake) -> Iterator[str]:
    """Keys of the ledgers that record no files. They are read one by one, so the first one is known at once."""
    for file in lake.files(LEDGER):
        if partition_of(file.key) and files_of_ledger(lake, file.key) is None:
            yield file.key


def early_days(lake: Lake) -> dict[date, list[str]]:
    """Source day → its ledgers that an early version wrote."""
    found: dict[date, list[str]] = {}
    for key in early_ledgers(lake):
        partition = partition_of(key)
        assert partition is not None
        found.setdefault(partition.day, []).append(key)
    return dict(sorted(found.items()))


def _text(about: About) -> str:
    return json.dumps({name: value for name, value in asdict(about).items() if value is not None}, indent=1)


def _new(hash_keys: Sequence[str]) -> About:
    return About(FORMAT, fingerprint(hash_keys), _version())


def _version() -> str:
    try:
        return version("clicklake")
    except PackageNotFoundError:
        return "a checkout"

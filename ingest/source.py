"""The source of raw objects: an S3 prefix or a local folder. Lists a day's objects and reads their bytes.

An object belongs to the day that its key names: `<distribution>.YYYY-MM-DD-HH.<unique>`, or else
the folders `year=YYYY/month=MM/day=DD/hour=HH` or `YYYY/MM/DD/HH`.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Container, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from stat import S_ISDIR, S_ISLNK, S_ISREG
from typing import Any, BinaryIO, Protocol, cast

from ingest.days import day_text, parse_day
from ingest.errors import ObjectChangedError, SourceError, TransientError
from ingest.rows.privacy import scrub

_IN_NAME = re.compile(r"(?:^|[._/-])(\d{4}-\d{2}-\d{2})-(\d{2})(?:\D|$)")
_IN_FOLDERS = re.compile(r"/(?:year=)?(\d{4})/(?:month=)?(\d{2})/(?:day=)?(\d{2})(?:/(?:hour=)?(\d{2}))?(?=/)")
_SITE = re.compile(r"/domain=([^/]+)/")
_TENANT = re.compile(r"/tenant=([^/]+)/(?:.*/)?domain=")
_MAY_BE_PERSONAL = re.compile(
    r"[@%&+\\:( ]|[^\x00-\x7f]|[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]|[0-9]{3}[-.][0-9]{3}[-.][0-9]{4}"
)
UNKNOWN_SITE = "unknown"
FIRST_KEYS = 1000  # one answer of S3
LISTINGS_AT_ONCE = 8
DAYS_OF_A_MONTH = 10  # from so many days on, one listing of their month costs less than one of each
_GONE = "the object has gone since it was listed. Run the day again"
_CHANGED = "the object has changed since it was listed. Run the day again"
_NO_FILE = "it is no ordinary file"
_TOO_MANY_REQUESTS, _SERVER_ERROR = 429, 500  # statuses of 500 and above may pass by themselves
_PASSING = {"SlowDown", "Throttling", "RequestTimeout", "InternalError", "ServiceUnavailable"}


@dataclass(frozen=True, order=True)
class SourceObject:
    """One object. Sorted by hour, then by key, so that rows lie roughly in the order of time."""

    hour: str  # YYYY-MM-DD-HH, from its key
    key: str  # relative to the source's root
    size: int
    etag: str
    modified: datetime

    @property
    def day(self) -> date:
        return _day_of(self.hour)

    @property
    def site(self) -> str:
        """The site of the `domain=<site>` folder that the object is in, in lower case; `unknown` without such a folder.

        An e-mail address or a similar personal value in the folder's name is scrubbed.
        """
        found = _SITE.search("/" + self.key)
        return _without_personal(found[1].lower()) if found else UNKNOWN_SITE

    @property
    def tenant(self) -> str | None:
        """The tenant of the `tenant=<name>` folder that the site's folder is in, in lower case; None without one.
        Scrubbed as sites are."""
        found = _TENANT.search("/" + self.key)
        return _without_personal(found[1].lower()) if found else None

    @property
    def name(self) -> str:
        """The key with personal data scrubbed. Two scrubbed keys may be equal, so a scrubbed key gets the etag as a
        suffix that tells the objects apart."""
        name = _without_personal(self.key)
        return name if name == self.key else f"{name}#{self.etag}"


@dataclass(frozen=True)
class Terms:
    """What is agreed about the objects of a source.

    Args:
        kept_days: days after which the source deletes an object; None if it keeps all.
        lateness: how long after the end of a day its objects may still arrive.
        deletions_correct: whether an object is deleted on purpose, so that its day is published without it.
    """

    kept_days: int | None = None
    lateness: timedelta = timedelta(hours=24)
    deletions_correct: bool = False

    def is_past(self, day: date) -> bool:
        """Whether some object of a day may have been deleted because it is old. The day's first object is made at its
        first moment, so that is `kept_days` days after the day itself."""
        return self.kept_days is not None and (datetime.now(UTC).date() - day).days >= self.kept_days

    def is_complete(self, day: date) -> bool:
        """Whether no object of a day is expected any more."""
        end = datetime.combine(day, time.max, UTC)
        return datetime.now(UTC) - end > self.lateness


AS_USUAL = Terms()


def _without_personal(text: str) -> str:
    return scrub(text) if _MAY_BE_PERSONAL.search(text) else text


def not_looked_at(name: str) -> str:
    """The message about an object whose key names no day, for a day without objects."""
    return (
        f"{name} is there and is not looked at, since its name tells no day: "
        "call it …2026-01-12-10… or put it into year=2026/month=01/day=12/"
    )


def hour_of(key: str) -> str | None:
    """`YYYY-MM-DD-HH` of a key; None if it names no day."""
    name = key.rpartition("/")[2]
    if match := _IN_NAME.search(name):
        day, hour = match.groups()
    elif match := _IN_FOLDERS.search("/" + key):
        day, hour = f"{match[1]}-{match[2]}-{match[3]}", match[4] or "00"
    else:
        return None
    try:
        datetime.fromisoformat(f"{day}T{hour}")
    except ValueError:
        return None
    return f"{day}-{hour}"


def _day_of(hour: str) -> date:
    return parse_day(hour[:10])


class Source(Protocol):
    """A place that holds objects, as ingest uses it."""

    url: str
    terms: Terms

    def objects(self, days: Iterable[date] | None = None) -> list[SourceObject]:
        """The objects of these days, or of all days, sorted. Keys that name no day are left out."""

    def has_around(self, day: date) -> tuple[bool, bool]:
        """Whether the source holds objects of any earlier day, and of any later day."""

    def undated(self) -> str | None:
        """The name of an object that is ignored because its key names no day, or None. S3 is asked for the first
        `FIRST_KEYS` keys only. The name can explain why a day has no objects; None does not prove that no key is
        ignored."""

    def open(self, item: SourceObject) -> BinaryIO:
        """Opens the object for reading. Reading gives exactly the bytes that were listed, or raises.

        Raises:
            ObjectChangedError: the object is no longer as it was listed; raised here or while it is read.
            TransientError: the connection broke, here or while the object is read.
            SourceError: the object cannot be read.
        """


class FolderSource:
    """Objects as files below a local folder. `setting` is the setting that messages tell the user to correct."""

    def __init__(self, folder: str | Path, setting: str = "CLICKLAKE_LOGS", terms: Terms = AS_USUAL) -> None:
        self._setting = setting
        self.terms = terms
        self.folder = Path(str(folder).removeprefix("file://")).expanduser().absolute()
        self.url = str(self.folder)
        self._odd_paths: dict[str, Path] = {}

    def objects(self, days: Iterable[date] | None = None) -> list[SourceObject]:
        if not self.folder.is_dir():
            what = "is no folder" if self.folder.exists() else "no such folder"
            raise SourceError(f"{self.folder}: {what}. Set {self._setting} to the folder that they are in")
        wanted = None if days is None else set(days)
        return sorted(self._walk(wanted))

    def has_around(self, day: date) -> tuple[bool, bool]:
        days = {item.day for item in self._walk(None)}
        return any(each < day for each in days), any(each > day for each in days)

    def undated(self) -> str | None:
        for folder, _, names in os.walk(self.folder):
            for name in sorted(names):
                key = self._key_of(str(Path(folder, name)))
                if hour_of(key) is None and not name.startswith("."):
                    return _without_personal(key)
        return None

    def _walk(self, wanted: set[date] | None) -> Iterator[SourceObject]:
        """The objects of these days, or of all. Folders of other days are entered, because a file's own name has
        precedence, but their files are not looked at."""
        unlisted: list[OSError] = []
        for folder, _, names in os.walk(self.folder, onerror=unlisted.append):
            for name in names:
                path = os.path.join(folder, name)  # noqa: PTH118 - a Path for each name costs more than all else
                key = self._key_of(path)
                hour = hour_of(key)
                if hour is None or name.startswith(".") or (wanted is not None and _day_of(hour) not in wanted):
                    continue
                if (found := _object_at(Path(path), key, hour)) is not None:
                    yield found
        yield from (each for each in map(self._unlisted, unlisted) if wanted is None or each.day in wanted)

    def _unlisted(self, error: OSError) -> SourceObject:
        """An unreadable object that stands for a folder that cannot be listed. It refuses the folder's day; skipping
        the folder silently would publish hours without rows. A folder that names no day may hold any day, so it ends
        the listing.
        """
        key = self._key_of(error.filename)
        hour = hour_of(f"{key}/")
        if hour is None:
            raise SourceError(f"listing {error.filename}: {error.strerror}. Let this user read it") from error
        return _unreadable(key, hour)

    def _key_of(self, path: str) -> str:
        """The key of a file below the folder. Bytes of its name that are not UTF-8 become `\\xNN`, because a key is
        text everywhere else."""
        key = path[len(self.url.rstrip("/")) + 1 :]
        if key.isascii():
            return key
        shown = key.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        if shown != key:
            self._odd_paths[shown] = Path(path)
        return shown

    def open(self, item: SourceObject) -> BinaryIO:
        path, shown = self._odd_paths.get(item.key, self.folder / item.key), self.folder / item.name
        try:
            stream = os.fdopen(_descriptor(path), "rb")
        except FileNotFoundError as error:
            if path.is_symlink():
                raise SourceError(f"reading {shown}: it is a link to nothing") from error
            raise ObjectChangedError(f"reading {shown}: {_GONE}") from error
        except OSError as error:
            raise SourceError(f"reading {shown}: {error.strerror}") from error

        def otherwise() -> Exception:
            """The error for a wrong length. Files that are generated while they are read, as in /proc, have no true
            size."""
            if _etag(os.fstat(stream.fileno())) != item.etag:
                return ObjectChangedError(f"reading {shown}: {_CHANGED}")
            return SourceError(f"reading {shown}: {_NO_FILE}: it holds more or less than its size says")

        if _etag(os.fstat(stream.fileno())) != item.etag:
            stream.close()
            raise ObjectChangedError(f"reading {shown}: {_CHANGED}")
        return cast(BinaryIO, _Whole(stream, item.size, otherwise))


def _object_at(path: Path, key: str, hour: str) -> SourceObject | None:
    """The object of a file; None for a pipe, a device, or a file that has gone since it was listed. A link that does
    not lead to an ordinary file, and a file whose status cannot be read, become objects that refuse their day by name.
    """
    try:
        stat = path.lstat()
        if S_ISLNK(stat.st_mode):
            stat = _target(path) or stat
        elif not S_ISREG(stat.st_mode):
            return None
    except FileNotFoundError:
        return None
    except OSError:
        return _unreadable(key, hour)
    return SourceObject(hour, key, stat.st_size, _etag(stat), datetime.fromtimestamp(stat.st_mtime, UTC))


def _target(link: Path) -> os.stat_result | None:
    """The status of the ordinary file that a link leads to; None if there is none."""
    try:
        stat = link.stat()
    except OSError:
        return None
    return stat if S_ISREG(stat.st_mode) else None


def _unreadable(key: str, hour: str) -> SourceObject:
    """An object that is there but cannot be read."""
    return SourceObject(hour, key, 0, "unreadable", datetime.fromtimestamp(0, UTC))


def _descriptor(path: Path) -> int:
    """Opens an ordinary file. Anything else is refused: a pipe would wait for its writer, and a device may have no
    end."""
    mode = path.stat().st_mode
    if S_ISDIR(mode):
        os.scandir(path).close()  # raises the error that explains why the folder cannot be listed
    if not S_ISREG(mode):
        raise OSError(errno.EINVAL, _NO_FILE)
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)


def _etag(stat: os.stat_result) -> str:
    return f"{stat.st_size:x}-{stat.st_mtime_ns:x}"


class S3Source:
    """Objects below `s3://bucket/prefix`, through a boto3 client.

    A prefix may hold years. The names before the first dot (`<folders>/<distribution>.`) are few and are
    listed first; then each of them is listed for the wanted days only.
    """

    def __init__(self, url: str, client: Any, setting: str = "CLICKLAKE_LOGS", terms: Terms = AS_USUAL) -> None:
        self._setting = setting
        self.terms = terms
        self.url = url.rstrip("/")
        self.bucket, _, prefix = url.removeprefix("s3://").partition("/")
        self.prefix = prefix.rstrip("/") + "/" if prefix.strip("/") else ""
        self.client = client

    def objects(self, days: Iterable[date] | None = None) -> list[SourceObject]:
        if days is None:
            return sorted(self._list(self.prefix))
        wanted = set(days)
        found: set[SourceObject] = set()
        sites = self._sites()
        if sites:
            folders = [_folders_of(span) for span in _spans(wanted)]
            prefixes = [site + folder for site in sites for folder in folders]
            with ThreadPoolExecutor(LISTINGS_AT_ONCE, thread_name_prefix="list") as pool:
                for items in pool.map(lambda prefix: list(self._list(prefix)), prefixes):
                    found.update(item for item in items if item.day in wanted)
            return sorted(found)
        for stem in self._stems(self.prefix, wanted):
            is_dated = self._hour_of(stem)  # the folders already name the day
            for prefix in [stem] if is_dated else [stem + span for span in _spans(wanted)]:
                found.update(item for item in self._list(prefix) if item.day in wanted)
        return sorted(found)

    def has_around(self, day: date) -> tuple[bool, bool]:
        """Asks for one key on each side of the day below each beginning of keys, and lists no whole day."""
        found: set[date] = set()
        for beginning, behind in self._beginnings(day):
            told = self._hour_of(beginning)  # where folders name the day
            hours: list[str | None] = (
                [told] if told else [self._first_hour(beginning, at) for at in ("", f"{beginning}{behind}")]
            )
            found |= {_day_of(hour) for hour in hours if hour}
            if found and min(found) < day < max(found):
                break
        return any(each < day for each in found), any(each > day for each in found)

    def _beginnings(self, day: date) -> Iterator[tuple[str, str]]:
        """Beginnings of keys, each with a text that sorts behind all keys of the day: `0` follows `/`, and `~` follows
        `-`."""
        sites = self._sites()
        yield from ((site, f"{_folders_of(day_text(day))[:-1]}0") for site in sites)
        if not sites:
            yield from ((stem, f"{day_text(day)}~") for stem in self._stems(self.prefix, _OtherDays(day)))

    def _first_hour(self, prefix: str, after: str) -> str | None:
        """The hour of the first key that names a day, among the first `FIRST_KEYS` keys."""
        for page in self._pages(Prefix=prefix, StartAfter=after, PaginationConfig={"MaxItems": FIRST_KEYS}):
            for entry in page.get("Contents", ()):
                hour = self._hour_of(entry["Key"])
                if hour is not None and not entry["Key"].endswith("/"):
                    return hour
        return None

    def undated(self) -> str | None:
        for page in self._pages(Prefix=self.prefix, PaginationConfig={"MaxItems": FIRST_KEYS}):
            for entry in page.get("Contents", ()):
                if self._hour_of(entry["Key"]) is None and not entry["Key"].endswith("/"):
                    return _without_personal(entry["Key"][len(self.prefix) :])
        return None

    def _sites(self) -> list[str]:
        """The `domain=<site>/` folders below the prefix, or in its `tenant=<name>/` folders. They are few, and the
        folders below each name the day."""
        places = [self.prefix, *self._folders(f"{self.prefix}tenant=")]
        return [site for place in places for site in self._folders(f"{place}domain=")]

    def _folders(self, beginning: str) -> list[str]:
        pages = self._pages(Prefix=beginning, Delimiter="/")
        return [common["Prefix"] for page in pages for common in page.get("CommonPrefixes", ())]

    def _stems(self, prefix: str, wanted: Container[date]) -> Iterator[str]:
        """Beginnings of keys up to the dot before the date, and keys without a dot. Other days are left out."""
        for page in self._pages(Prefix=prefix, Delimiter="."):
            for common in page.get("CommonPrefixes", ()):
                stem = common["Prefix"]
                dated = self._hour_of(stem)
                if dated is None:
                    yield stem
                    if self._has_other_names(stem):
                        yield from self._stems(stem, wanted)  # the dot was in a folder's name
                elif _day_of(dated) in wanted:
                    yield stem
            for entry in page.get("Contents", ()):
                dated = self._hour_of(entry["Key"])
                if dated is not None and _day_of(dated) in wanted and not entry["Key"].endswith("/"):
                    yield entry["Key"]

    def _hour_of(self, key: str) -> str | None:
        return hour_of(key[len(self.prefix) :])

    def _has_other_names(self, stem: str) -> bool:
        """Whether any key continues with something other than a date. Only the first key and the keys that sort behind
        all digits are looked at."""
        first = self._first_key(stem, after="")
        is_other = first is not None and not re.match(r"\d{4}-\d{2}-\d{2}-\d{2}", first[len(stem) :])
        return is_other or self._first_key(stem, after=f"{stem}:") is not None

    def _first_key(self, prefix: str, after: str) -> str | None:
        for page in self._pages(Prefix=prefix, StartAfter=after, PaginationConfig={"MaxItems": 1, "PageSize": 1}):
            for entry in page.get("Contents", ()):
                return cast(str, entry["Key"])
        return None

    def _list(self, prefix: str) -> Iterator[SourceObject]:
        for page in self._pages(Prefix=prefix):
            for entry in page.get("Contents", ()):
                key = entry["Key"][len(self.prefix) :]
                hour = hour_of(key)
                if hour is not None and not key.endswith("/"):
                    yield SourceObject(hour, key, entry["Size"], entry["ETag"].strip('"'), entry["LastModified"])

    def _pages(self, **arguments: Any) -> Iterator[dict[str, Any]]:
        try:
            yield from self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, **arguments)
        except Exception as error:
            raise self._explained(f"listing s3://{self.bucket}/{self.prefix}", error) from error

    def open(self, item: SourceObject) -> BinaryIO:
        """Opens the version that was listed. If the object has changed since, S3 refuses the request."""
        key, doing = self.prefix + item.key, f"reading s3://{self.bucket}/{self.prefix}{item.name}"
        try:
            answer = self.client.get_object(Bucket=self.bucket, Key=key, IfMatch=item.etag)
        except Exception as error:
            raise self._explained(doing, error) from error
        return cast(BinaryIO, _Body(answer["Body"], item.size, doing))

    def _explained(self, doing: str, error: Exception) -> Exception:
        """A botocore error as one sentence, without keys or a signed address."""
        from botocore import exceptions as s3
        from botocore.parsers import ResponseParserError

        if isinstance(error, s3.NoCredentialsError | s3.PartialCredentialsError):
            return SourceError(
                f"{doing}: no AWS credentials. Set them as for the AWS CLI, or CLICKLAKE_S3_ACCESS_KEY_ID and "
                "CLICKLAKE_S3_SECRET_ACCESS_KEY"
            )
        if isinstance(error, s3.ClientError):
            status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
            return self._refused(doing, str(error.response.get("Error", {}).get("Code", "")), status)
        if isinstance(error, ResponseParserError):
            return TransientError(f"{doing}: the answer broke off")
        if isinstance(error, s3.BotoCoreError):
            return TransientError(f"{doing}: {type(error).__name__}. Is {self.client.meta.endpoint_url} reachable?")
        return error

    def _refused(self, doing: str, code: str, status: int) -> Exception:
        if code == "NoSuchBucket":
            return SourceError(f"{doing}: no such bucket. Correct {self._setting}, or create {self.bucket}")
        if code in ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "403", "ExpiredToken"):
            return SourceError(
                f"{doing}: S3 refused these credentials ({code}). Check the keys and the bucket's policy"
            )
        if code in ("NoSuchKey", "404"):
            return ObjectChangedError(f"{doing}: {_GONE}")
        if code in ("PreconditionFailed", "412"):
            return ObjectChangedError(f"{doing}: {_CHANGED}")
        is_passing = code in _PASSING or status == _TOO_MANY_REQUESTS or status >= _SERVER_ERROR
        kind = TransientError if is_passing else SourceError
        return kind(f"{doing}: S3 answered {code or 'with an error'}")


def _spans(days: Iterable[date]) -> list[str]:
    """Days as the prefixes that they are listed by: `YYYY-MM-DD`, or `YYYY-MM-` for many days of one month."""
    by_month: dict[str, list[str]] = {}
    for text in sorted(map(day_text, days)):
        by_month.setdefault(text[: len("YYYY-MM-")], []).append(text)
    return [span for month, texts in by_month.items() for span in ([month] if len(texts) >= DAYS_OF_A_MONTH else texts)]


def _folders_of(span: str) -> str:
    """The folders of a day or month in the form of `_spans`."""
    names = ("year", "month", "day")
    return "".join(f"{name}={part}/" for name, part in zip(names, span.rstrip("-").split("-"), strict=False))


class _OtherDays(Container[date]):
    """All days but one."""

    def __init__(self, day: date) -> None:
        self._day = day

    def __contains__(self, day: object) -> bool:
        return day != self._day


class _Whole:
    """The bytes of an object, which must be as many as were listed. Without this check, a broken transfer would look
    like an object that was cut off when it was written."""

    def __init__(self, stream: Any, size: int, otherwise: Callable[[], Exception]) -> None:
        self._stream = stream
        self._missing = size
        self._otherwise = otherwise

    def read(self, size: int | None = None) -> bytes:
        is_rest = size is None or size < 0
        data = self._rest() if is_rest else self._read(size)
        self._missing -= len(data)
        is_end = is_rest or not data
        if self._missing < 0 or (is_end and self._missing):
            raise self._otherwise()
        return data

    def _rest(self) -> bytes:
        """All bytes to the end. Reads at most one byte more than the listed size, which shows that the object is
        longer."""
        parts: list[bytes] = []
        missing = self._missing + 1
        while missing and (part := self._read(missing)):
            parts.append(part)
            missing -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _read(self, size: int | None) -> bytes:
        return cast(bytes, self._stream.read(size))

    def __enter__(self) -> _Whole:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()


class _Body(_Whole):
    """The bytes of an S3 object. A broken connection is a `TransientError`."""

    def __init__(self, stream: Any, size: int, doing: str) -> None:
        super().__init__(stream, size, lambda: TransientError(f"{doing}: fewer or more bytes came than were listed"))
        self._doing = doing

    def _read(self, size: int | None) -> bytes:
        from botocore.exceptions import BotoCoreError
        from urllib3.exceptions import HTTPError

        try:
            return super()._read(size)
        except (BotoCoreError, HTTPError, OSError) as error:
            raise TransientError(f"{self._doing}: the connection broke ({type(error).__name__})") from error


def open_source(url: str, client: Any = None, setting: str = "CLICKLAKE_LOGS", terms: Terms = AS_USUAL) -> Source:
    """The source for a folder or `s3://bucket/prefix`; S3 needs a boto3 client. `setting` is the setting that holds
    `url`.

    Raises:
        SourceError: the URL has another scheme.
    """
    if url.startswith("s3://"):
        return S3Source(url, client, setting, terms)
    if "://" in url and not url.startswith("file://"):
        raise SourceError(f"{url}: only a folder or s3://bucket/prefix can be read. Correct {setting}")
    return FolderSource(os.fspath(url), setting, terms)

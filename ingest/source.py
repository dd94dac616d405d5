"""Where raw objects come from: an S3 prefix or a local folder. Lists a day's objects and reads their bytes.

An object belongs to the day that its key names: `<distribution>.YYYY-MM-DD-HH.<unique>` or, for other
file names, its folders `year=YYYY/month=MM/day=DD/hour=HH` or `YYYY/MM/DD/HH`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

from ingest.errors import SourceError, TransientError

_IN_NAME = re.compile(r"(?:^|[._/-])(\d{4}-\d{2}-\d{2})-(\d{2})(?:\D|$)")
_IN_FOLDERS = re.compile(r"/(?:year=)?(\d{4})/(?:month=)?(\d{2})/(?:day=)?(\d{2})(?:/(?:hour=)?(\d{2}))?(?=/)")
_SITE = re.compile(r"/domain=([^/]+)/")
UNKNOWN_SITE = "unknown"
_CHANGED = "the object has changed since it was listed. Run the day again"
_THROTTLING = {"SlowDown", "Throttling", "RequestTimeout", "InternalError", "ServiceUnavailable", "503", "500", "429"}


@dataclass(frozen=True, order=True)
class SourceObject:
    """One object. Sorted by the hour it belongs to, then by key: so rows lie roughly in the order of time."""

    hour: str  # YYYY-MM-DD-HH, as its key says
    key: str  # below the source's root
    size: int
    etag: str
    modified: datetime

    @property
    def day(self) -> str:
        return self.hour[:10]

    @property
    def site(self) -> str:
        """The `domain=<site>` folder that it lies in, in lower case; `unknown` without one."""
        found = _SITE.search("/" + self.key)
        return found[1].lower() if found else UNKNOWN_SITE


def hour_of(key: str) -> str | None:
    """`YYYY-MM-DD-HH` of a key, None where it names no day."""
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


class Source(Protocol):
    """What ingest needs of a place that holds objects."""

    url: str

    def objects(self, days: Iterable[str] | None = None) -> list[SourceObject]:
        """The objects of these days, or of all; sorted. Keys that name no day are left out."""

    def open(self, item: SourceObject) -> BinaryIO:
        """The object's bytes as they were listed."""


class FolderSource:
    """Objects as files below a local folder. `setting` is what a message tells to correct."""

    def __init__(self, folder: str | Path, setting: str = "CLICKLAKE_LOGS") -> None:
        self._setting = setting
        self.folder = Path(str(folder).removeprefix("file://")).expanduser().absolute()
        self.url = str(self.folder)

    def objects(self, days: Iterable[str] | None = None) -> list[SourceObject]:
        if not self.folder.is_dir():
            raise SourceError(f"{self.folder}: no such folder. Set {self._setting} to the folder that they are in")
        wanted = None if days is None else set(days)
        return sorted(item for item in self._walk() if wanted is None or item.day in wanted)

    def _walk(self) -> Iterator[SourceObject]:
        for path in self.folder.rglob("*"):
            key = path.relative_to(self.folder).as_posix()
            hour = hour_of(key)
            if hour is None or path.name.startswith(".") or not path.is_file():
                continue
            stat = path.stat()
            yield SourceObject(hour, key, stat.st_size, _etag(stat), datetime.fromtimestamp(stat.st_mtime, UTC))

    def open(self, item: SourceObject) -> BinaryIO:
        path = self.folder / item.key
        try:
            stream = path.open("rb")
        except OSError as error:
            raise SourceError(f"reading {path}: {error.strerror}") from error
        if _etag(os.fstat(stream.fileno())) != item.etag:
            stream.close()
            raise SourceError(f"reading {path}: {_CHANGED}")
        return stream


def _etag(stat: os.stat_result) -> str:
    return f"{stat.st_size:x}-{stat.st_mtime_ns:x}"


class S3Source:
    """Objects below `s3://bucket/prefix`, through a boto3 client.

    A prefix may hold years. The names before the first dot (`<folders>/<distribution>.`) are few and are
    listed first; then each is listed for the wanted days alone.
    """

    def __init__(self, url: str, client: Any, setting: str = "CLICKLAKE_LOGS") -> None:
        self._setting = setting
        self.url = url.rstrip("/")
        self.bucket, _, prefix = url.removeprefix("s3://").partition("/")
        self.prefix = prefix.rstrip("/") + "/" if prefix.strip("/") else ""
        self.client = client

    def objects(self, days: Iterable[str] | None = None) -> list[SourceObject]:
        if days is None:
            return sorted(self._list(self.prefix))
        wanted = set(days)
        found: set[SourceObject] = set()
        sites = self._sites()
        for prefix in (site + _folders_of(day) for site in sites for day in sorted(wanted)):
            found.update(item for item in self._list(prefix) if item.day in wanted)
        if sites:
            return sorted(found)
        for stem in self._stems(self.prefix, wanted):
            is_dated = self._hour_of(stem)  # the folders name the day, so the file need not
            for prefix in [stem] if is_dated else [stem + day for day in sorted(wanted)]:
                found.update(item for item in self._list(prefix) if item.day in wanted)
        return sorted(found)

    def _sites(self) -> list[str]:
        """The `domain=<site>/` folders below the prefix: few, and below each the folders name the day."""
        pages = self._pages(Prefix=f"{self.prefix}domain=", Delimiter="/")
        return [common["Prefix"] for page in pages for common in page.get("CommonPrefixes", ())]

    def _stems(self, prefix: str, wanted: set[str]) -> Iterator[str]:
        """Key beginnings up to the dot before the date, and keys without a dot. Other days are passed over."""
        for page in self._pages(Prefix=prefix, Delimiter="."):
            for common in page.get("CommonPrefixes", ()):
                stem = common["Prefix"]
                dated = self._hour_of(stem)
                if dated is None:
                    yield stem
                    if self._has_other_names(stem):
                        yield from self._stems(stem, wanted)  # the dot was in a folder's name
                elif dated[:10] in wanted:
                    yield stem
            for entry in page.get("Contents", ()):
                dated = self._hour_of(entry["Key"])
                if dated is not None and dated[:10] in wanted and not entry["Key"].endswith("/"):
                    yield entry["Key"]

    def _hour_of(self, key: str) -> str | None:
        return hour_of(key[len(self.prefix) :])

    def _has_other_names(self, stem: str) -> bool:
        """Whether any key goes on with something else than a date: the first, or one behind all digits."""
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
        """Reads the very version that was listed; one that has changed since is an error."""
        key = self.prefix + item.key
        try:
            answer = self.client.get_object(Bucket=self.bucket, Key=key, IfMatch=item.etag)
        except Exception as error:
            raise self._explained(f"reading s3://{self.bucket}/{key}", error) from error
        return cast(BinaryIO, _Body(answer["Body"], f"reading s3://{self.bucket}/{key}"))

    def _explained(self, doing: str, error: Exception) -> Exception:
        """A botocore error as one sentence; never with keys or a signed address in it."""
        from botocore import exceptions as s3

        if isinstance(error, s3.NoCredentialsError | s3.PartialCredentialsError):
            return SourceError(
                f"{doing}: no AWS credentials. Set them as for the AWS CLI, or CLICKLAKE_S3_ACCESS_KEY_ID and "
                "CLICKLAKE_S3_SECRET_ACCESS_KEY"
            )
        if isinstance(error, s3.ClientError):
            return self._refused(doing, str(error.response.get("Error", {}).get("Code", "")))
        if isinstance(error, s3.BotoCoreError):
            return TransientError(f"{doing}: {type(error).__name__}. Is {self.client.meta.endpoint_url} reachable?")
        return error

    def _refused(self, doing: str, code: str) -> Exception:
        if code == "NoSuchBucket":
            return SourceError(f"{doing}: no such bucket. Correct {self._setting}, or create {self.bucket}")
        if code in ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "403", "ExpiredToken"):
            return SourceError(
                f"{doing}: S3 refused these credentials ({code}). Check the keys and the bucket's policy"
            )
        if code in ("NoSuchKey", "404"):
            return SourceError(f"{doing}: the object has gone since it was listed")
        if code in ("PreconditionFailed", "412"):
            return SourceError(f"{doing}: {_CHANGED}")
        kind = TransientError if code in _THROTTLING else SourceError
        return kind(f"{doing}: S3 answered {code or 'with an error'}")


def _folders_of(day: str) -> str:
    return f"year={day[:4]}/month={day[5:7]}/day={day[8:]}/"


class _Body:
    """An object's bytes as they come. A connection that breaks meanwhile is worth another try."""

    def __init__(self, body: Any, doing: str) -> None:
        self._body = body
        self._doing = doing

    def read(self, size: int | None = None) -> bytes:
        from botocore.exceptions import BotoCoreError
        from urllib3.exceptions import HTTPError

        try:
            return cast(bytes, self._body.read(size))
        except (BotoCoreError, HTTPError, OSError) as error:
            raise TransientError(f"{self._doing}: the connection broke ({type(error).__name__})") from error

    def __enter__(self) -> _Body:
        return self

    def __exit__(self, *_: object) -> None:
        self._body.close()


def open_source(url: str, client: Any = None, setting: str = "CLICKLAKE_LOGS") -> Source:
    """A source for a folder or `s3://bucket/prefix`; S3 needs a boto3 client. `setting` is the one that names it."""
    if url.startswith("s3://"):
        return S3Source(url, client, setting)
    if "://" in url and not url.startswith("file://"):
        raise SourceError(f"{url}: only a folder or s3://bucket/prefix can be read. Correct {setting}")
    return FolderSource(os.fspath(url), setting)

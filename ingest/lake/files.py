"""Reads and writes files of the lake. A file is replaced as a whole or not at all.

A lake is a folder or an `s3://bucket/prefix`. This module knows nothing of the files' contents.
Invariant: a key holds a whole file or none. A file is written to a staging folder and put in place by one
rename (folder) or one completed upload (S3). Readers never see a part of a file.
"""

from __future__ import annotations

import errno
import os
import platform
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, cast

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from ingest.errors import LakeError, OvertakenError, TransientLakeError
from ingest.lake import locks, s3
from ingest.lake.conditional import NOTHING, Objects, Seen
from ingest.lake.layout import DATA_FILE
from ingest.lake.s3 import S3Options

STAGING = ".staging"
HOST = re.sub("[^A-Za-z0-9]", "", platform.node()) or "host"  # each container has its own name and process ids
LISTINGS_AT_ONCE = 8
FETCH_BYTES = 32 << 20  # bytes of one request; pyarrow would send one for each MiB

# Errors that may pass by themselves, as the AWS SDK names them. Status -1 means that the answer broke off.
_PASSING = re.compile(
    r"NETWORK_CONNECTION|SLOW_DOWN|SERVICE_UNAVAILABLE|INTERNAL_FAILURE|THROTTLING|REQUEST_TIMEOUT|NO_SUCH_UPLOAD"
    r"|HTTP status (-1|429|5\d\d)"
)


_ONLY_READS = ("listing ", "looking ", "reading ")  # beginnings of messages about reading


@dataclass(frozen=True)
class LakeFile:
    key: str
    size: int
    modified: datetime


class Lake:
    """Files by key under one root.

    Args:
        url: a folder (`/data/lake`, `file:///data/lake`) or `s3://bucket/prefix`.
        s3: how to reach S3; ignored for a folder.

    Raises:
        LakeError: the URL has another scheme.
    """

    def __init__(self, url: str, s3: S3Options | None = None) -> None:
        self.s3 = s3 or S3Options()
        self.is_s3 = url.startswith("s3://")
        if self.is_s3:
            self.root = url[len("s3://") :].strip("/")
            self.url = f"s3://{self.root}"
        elif "://" in url and not url.startswith("file://"):
            raise LakeError(f"lake url {url!r}: only a folder or s3://bucket/prefix can hold a lake")
        else:
            self.root = str(Path(url.removeprefix("file://")).expanduser().absolute())
            self.url = self.root
        self._filesystem: fs.FileSystem | None = None
        self._held: dict[str, locks.Lock] = {}

    def __repr__(self) -> str:
        return f"Lake({self.url!r})"

    @property
    def filesystem(self) -> fs.FileSystem:
        """The pyarrow filesystem. It is made at first use, so that creating a Lake opens nothing."""
        if self._filesystem is None:
            self._filesystem = s3.filesystem(self.s3) if self.is_s3 else fs.LocalFileSystem()
        return self._filesystem

    def path(self, key: str) -> str:
        """The path of a key for `filesystem`."""
        return f"{self.root}/{key}"

    def uri(self, key: str) -> str:
        """The address of a key for DuckDB: an absolute path or `s3://…`."""
        return f"{self.url}/{key}"

    def files(self, prefix: str, recursive: bool = True) -> list[LakeFile]:
        """All files below a folder, sorted by key; empty if there is no such folder. One listing on S3.

        Names that are not UTF-8 are skipped: the lake never writes such names.

        Args:
            recursive: False leaves out the files of folders below.
        """
        start = len(self.root) + 1
        found = [
            LakeFile(path[start:], info.size, info.mtime or datetime.fromtimestamp(0, UTC))
            for info in self._infos(prefix, recursive)
            if info.type == fs.FileType.File and (path := _path_of(info)) is not None
        ]
        return sorted(found, key=lambda file: file.key)

    def files_below(self, folders: Iterable[str]) -> list[LakeFile]:
        """All files below these folders, in the order of the folders. One listing each, several at once on S3."""
        if not self.is_s3:
            return [file for folder in folders for file in self.files(folder)]
        with ThreadPoolExecutor(LISTINGS_AT_ONCE, thread_name_prefix="list") as pool:
            return [file for files in pool.map(self.files, folders) for file in files]

    def folders(self, prefix: str) -> list[str]:
        """The names of the folders directly below a folder, sorted. On S3 one request for each 1,000 of them."""
        paths = (_path_of(info) for info in self._infos(prefix, recursive=False) if info.type == fs.FileType.Directory)
        return sorted(path.rstrip("/").rpartition("/")[2] for path in paths if path is not None)

    def no_files(self, prefix: str) -> list[str]:
        """The keys directly below a folder that lead to no file, sorted: folders, and links to nothing. The folder's
        own key if it leads to no folder. A listing of files leaves all of them out."""
        base = prefix.rstrip("/")
        below = f"{base}/" if base else ""
        if self.is_s3:
            return [f"{below}{name}" for name in self.folders(prefix)]
        folder = Path(self.path(base))
        with _explained(f"listing {self.uri(prefix)}"):
            if not folder.is_dir():
                return [base] if os.path.lexists(folder) else []
            return sorted(f"{below}{each.name}" for each in os.scandir(folder) if not each.is_file())

    def _infos(self, prefix: str, recursive: bool) -> list[fs.FileInfo]:
        # With the slash, a file in the place of a folder counts as no folder.
        base = self.path(prefix if recursive else prefix.rstrip("/"))
        selector = fs.FileSelector(base, recursive=recursive, allow_not_found=True)
        with _explained(f"listing {self.uri(prefix)}"):
            return cast(list[fs.FileInfo], self.filesystem.get_file_info(selector))

    def exists(self, key: str) -> bool:
        with _explained(f"looking for {self.uri(key)}"):
            return self.filesystem.get_file_info(self.path(key)).type == fs.FileType.File

    def check(self) -> None:
        """Asks S3 whether the bucket exists, which a listing does not tell. A folder needs no check: it is made when
        needed.

        Raises:
            LakeError: the bucket does not exist, or S3 refuses the question.
        """
        if self.is_s3:
            with _explained(f"looking for {self.url}"):
                bucket = self.filesystem.get_file_info(self.root.partition("/")[0])
            if bucket.type == fs.FileType.NotFound:
                raise LakeError(f"{self.url}: no such bucket. Create it, or correct CLICKLAKE_LAKE")

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """A private local folder to write files in before `put`. It is always removed afterwards.

        In a folder lake it is inside the lake, so that `put` is one rename.
        """
        if self.is_s3:
            folder = Path(tempfile.mkdtemp(prefix="clicklake-"))
        else:
            folder = Path(self.root) / STAGING / f"{os.getpid()}-{HOST}-{uuid.uuid4().hex[:8]}"
            with _explained(f"making {folder}"):
                folder.mkdir(parents=True)
                _remove_abandoned(folder.parent)
        try:
            with _explained(f"writing below {folder}"):
                yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def lock(self, name: str, owner: str = "", on_wait: locks.Waiting | None = None) -> Iterator[bool]:
        """Waits for a lock of this lake, such as `raw/<dataset>/<day>` or `marts`, and holds it. If the lock is lost,
        `put` and `delete` raise TransientLakeError. Yields whether it had to wait.

        Args:
            owner: the holder's name for others to read; by default the process and machine.
            on_wait: called once with the holder's name if somebody else holds the lock.
        """
        lock = self._lock(name)
        with ExitStack() as stack:
            with _explained(f"locking {self.url} ({name})"):
                owner = owner or f"process {os.getpid()} on {platform.node()}"
                has_waited = stack.enter_context(locks.held(lock, owner, on_wait))
            self._held[name] = lock
            stack.callback(self._held.pop, name)
            yield has_waited

    def holds(self, name: str) -> bool:
        """Whether this object holds a lock. No lock can be held twice: the second attempt would wait for ever."""
        return name in self._held

    def holder(self, name: str) -> str | None:
        """The holder of a lock; None if nobody holds it."""
        with _explained(f"looking at the lock {name} of {self.url}"):
            return self._lock(name).holder()

    def _lock(self, name: str) -> locks.Lock:
        key = f"{locks.FOLDER}/{name}"
        if self.is_s3:
            bucket, _, path = self.path(key).partition("/")
            return locks.S3Lock(_lock_client(self.s3), bucket, path)
        return locks.FolderLock(Path(self.path(key)))

    def put(self, local: Path, key: str) -> int:
        """Moves a finished local file to a key, atomically. Returns its size in bytes.

        On S3, a put under a lock is conditional: it fails if another run has written the key since the lease was last
        known to be held.

        Raises:
            TransientLakeError: the lock was lost, or another run has written the key.
            LakeError: the lake cannot be written.
        """
        with _explained(f"writing {self.uri(key)}"):
            size = local.stat().st_size
            if self.is_s3:
                objects, path = self._objects(key)
                objects.put(local, path, self._seen(objects, path))
                local.unlink()
            else:
                target = Path(self.path(key))
                target.parent.mkdir(parents=True, exist_ok=True)
                with local.open("rb") as written:
                    os.fsync(written.fileno())
                os.replace(local, target)
        return size

    def _objects(self, key: str) -> tuple[Objects, str]:
        """The bucket's objects, and a key's own key among them."""
        bucket, _, path = self.path(key).partition("/")
        return Objects(_data_client(self.s3, s3.ATTEMPTS), bucket), path

    def _seen(self, objects: Objects, path: str) -> Seen | None:
        """What stands under a key while all locks are held; None if this lake holds no lock.

        The answer tells the server's time. A lease that had not run out by then was held when the key was looked at, so
        nobody else's write can be what was seen.
        """
        if not self._held:
            return None
        seen = objects.look(path)
        self._ensure_locks(seen)
        return seen

    def fetch(self, key: str, local: Path) -> None:
        """Copies a file of the lake to a local file, which does not change when the key gets a new file."""
        with _explained(f"reading {self.uri(key)}"):
            if self.is_s3:
                fs.copy_files(self.path(key), str(local), self.filesystem, fs.LocalFileSystem(), chunk_size=FETCH_BYTES)
                return
            try:
                os.link(self.path(key), local)  # no file of the lake is ever written to again
            except OSError:  # a file system without links
                shutil.copyfile(self.path(key), local)

    def put_table(self, table: pa.Table, key: str) -> int:
        """Writes one small table as Parquet, atomically. Returns its size in bytes."""
        with self.staging() as folder:
            local = folder / DATA_FILE
            # Opened here, because pyarrow leaves a file open that it cannot finish, as on a full disk.
            with _explained(f"writing {self.uri(key)}"), local.open("wb") as file:
                pq.write_table(table, file, compression="zstd", compression_level=1)
            return self.put(local, key)

    def put_text(self, text: str, key: str) -> int:
        with self.staging() as folder:
            local = folder / "text"
            with _explained(f"writing {self.uri(key)}"):
                local.write_text(text, encoding="utf-8")
            return self.put(local, key)

    def create_text(self, text: str, key: str) -> bool:
        """Writes a small file unless there is one. Returns whether it was written."""
        with self.staging() as folder, _explained(f"writing {self.uri(key)}"):
            local = folder / "text"
            local.write_text(text, encoding="utf-8")
            if self.is_s3:
                objects, path = self._objects(key)
                try:
                    objects.put(local, path, NOTHING)
                except OvertakenError:
                    return False
                return True
            with suppress(FileExistsError):
                os.link(local, self.path(key))
                return True
            return False

    def read_table(self, key: str, columns: list[str] | None = None) -> pa.Table:
        with _explained(f"reading {self.uri(key)}"):
            try:
                return pq.read_table(self.path(key), columns=columns, filesystem=self.filesystem, partitioning=None)
            except pa.ArrowInvalid as error:
                raise self._no_parquet(key, error) from error

    def read_metadata(self, key: str) -> pq.FileMetaData | None:
        """The footer of a Parquet file; None if there is no such file. Raises as `read_table` does."""
        with _explained(f"reading {self.uri(key)}"):
            try:
                return pq.read_metadata(self.path(key), filesystem=self.filesystem)
            except FileNotFoundError:
                return None
            except pa.ArrowInvalid as error:
                raise self._no_parquet(key, error) from error

    def _no_parquet(self, key: str, error: Exception) -> LakeError:
        reason = str(error).splitlines()[0]
        return LakeError(f"reading {self.uri(key)}: no whole Parquet file ({reason}). Run its day again")

    def pieces(self, key: str, size: int) -> Iterator[bytes]:
        """The bytes of a file, some at a time. Raises LakeError."""
        with _explained(f"reading {self.uri(key)}"), self.filesystem.open_input_stream(self.path(key)) as stream:
            while piece := stream.read(size):
                yield piece

    def read_bytes(self, key: str) -> bytes:
        with _explained(f"reading {self.uri(key)}"), self.filesystem.open_input_file(self.path(key)) as stream:
            return bytes(stream.read())

    def read_text(self, key: str) -> str:
        return self.read_bytes(key).decode("utf-8")

    def delete(self, prefix: str) -> None:
        """Deletes a file, or every file below a folder. A missing key is no error. Raises as `put` does."""
        with _explained(f"deleting {self.uri(prefix)}"):
            if self.is_s3:
                objects, path = self._objects(prefix)
                for key, seen in objects.below(path).items():
                    self._ensure_locks(seen)
                    objects.delete(key, seen if self._held else None)
                return
            info = self.filesystem.get_file_info(self.path(prefix))
            if info.type == fs.FileType.File:
                self.filesystem.delete_file(self.path(prefix))
            elif info.type == fs.FileType.Directory:
                self.filesystem.delete_dir(self.path(prefix))

    def confirm_locks(self) -> None:
        """Asks S3 whether this run still holds its locks; for writes to other places than the lake.

        Raises:
            TransientLakeError: a lock was lost.
        """
        for lock in list(self._held.values()):
            lock.confirm()

    def _ensure_locks(self, seen: Seen) -> None:
        for lock in list(self._held.values()):
            lock.ensure(seen.at)

    def connect(self, **config: Any) -> duckdb.DuckDBPyConnection:
        """A disposable in-memory DuckDB that can read this lake. Close it after use."""
        connection = duckdb.connect(":memory:", config=config)
        self.attach(connection)
        return connection

    def rows(self, connection: duckdb.DuckDBPyConnection, key: str, local: Path | None = None) -> pa.Table:
        """The rows of a Parquet file, with the columns from its folders. `connection` must be able to read this
        lake.

        Args:
            local: a copy of the file, in folders of the same names.
        """
        address = str(local or self.uri(key)).replace("'", "''")
        with _explained(f"reading {self.uri(key)}"):
            try:
                return connection.sql(f"from read_parquet('{address}', hive_partitioning = true)").to_arrow_table()
            except duckdb.Error as error:  # it ends with a traceback, whose last line is pyarrow's message
                raise OSError(str(error).strip().splitlines()[-1]) from error

    def attach(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Lets a DuckDB connection read this lake's addresses, and sets its time zone to UTC."""
        connection.execute("set TimeZone = 'UTC'")
        if self.is_s3:
            connection.register_filesystem(s3.as_fsspec(self.filesystem))

    @contextmanager
    def connect_for_reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A DuckDB connection for foreign SQL. It can read this lake, but no other file, address or variable.

        In a folder lake, DuckDB could still write to the files that it may read, so statements must be checked as well.
        """
        config: dict[str, str | bool | int | float | list[str]] = {
            "python_enable_replacements": False,
            "autoload_known_extensions": False,
            "autoinstall_known_extensions": False,
            "allow_persistent_secrets": False,
        }
        with tempfile.TemporaryDirectory(prefix="clicklake-") as spill, duckdb.connect(config=config) as connection:
            connection.execute("set TimeZone = 'UTC'")
            connection.execute(f"set temp_directory = '{spill}'")
            if self.is_s3:
                connection.register_filesystem(s3.as_fsspec(self.filesystem, only_below=self.root))
            allowed = f"{self.url}/".replace("'", "''")
            connection.execute(f"set allowed_directories = ['{allowed}']")
            connection.execute("set enable_external_access = false")
            connection.execute("set lock_configuration = true")
            yield connection


@cache
def _data_client(options: S3Options, attempts: int) -> Any:
    """A boto3 client that puts and deletes files."""
    return s3.client(options, attempts)


@cache
def _lock_client(options: S3Options) -> Any:
    """A boto3 client for conditional writes, which pyarrow does not support."""
    return s3.client(options, locks.ATTEMPTS, locks.CONNECT_SECONDS, locks.SILENCE_SECONDS)


def _remove_abandoned(staging: Path) -> None:
    """Removes the staging folders of killed processes of this machine."""
    for folder in staging.iterdir():
        owner, _, rest = folder.name.partition("-")
        if owner.isdigit() and rest.startswith(f"{HOST}-") and not _is_running(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _path_of(info: fs.FileInfo) -> str | None:
    """The path of a file; None if its bytes are not UTF-8."""
    try:
        return str(info.path)
    except UnicodeDecodeError:
        return None


@contextmanager
def _explained(doing: str) -> Iterator[None]:
    """Turns an error of the operating system or S3 into one sentence that says what to do."""
    try:
        yield
    except OSError as error:
        kind = TransientLakeError if _PASSING.search(str(error)) else LakeError
        raise kind(f"{doing}: {_reason(error, doing.startswith(_ONLY_READS))}") from error


def _reason(error: OSError, only_reads: bool) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full. Free some space and run again; the lake is as it was"
    if error.errno == errno.EROFS:
        return "the disk is read-only. Mount it for writing and run again, or correct CLICKLAKE_LAKE"
    if error.errno in (errno.EACCES, errno.EPERM):
        needed = (
            "Let this user read the lake" if only_reads else "Give this user write access to the lake and run again"
        )
        return f"no permission. {needed}"
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return "a file is in the way of a folder. Correct CLICKLAKE_LAKE"
    text = str(error)
    if "NO_SUCH_BUCKET" in text or "NoSuchBucket" in text:
        return "no such bucket. Create it, or correct CLICKLAKE_LAKE"
    if "ACCESS_DENIED" in text or "INVALID_ACCESS_KEY_ID" in text or "SIGNATURE_DOES_NOT_MATCH" in text:
        return "S3 refused these credentials. Check the keys and the bucket's policy"
    if "NETWORK_CONNECTION" in text:
        return "S3 does not answer. Check CLICKLAKE_S3_ENDPOINT_URL, and whether this machine may reach it"
    if _PASSING.search(text):
        return "S3 is busy or broke off. Run again in a moment; the last good files stand"
    return text.splitlines()[0] if text else type(error).__name__

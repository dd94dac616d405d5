"""Locks: only one run at a time works on a partition, across processes and machines.

The callers decide what is locked, and for how long. On a folder, a lock is the operating system's (flock), which ends
with its process. On S3 it is a lease: an object that only one run can put (If-None-Match). Its holder renews it; if the
holder is silent for too long, another run takes the lease over (If-Match).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from ingest.errors import LakeError, TransientError, TransientLakeError
from ingest.lake.conditional import code_of, time_of

FOLDER = ".locks"
SECONDS_BETWEEN_TRIES = 0.2
# A holder that is silent for this long counts as dead. It renews four times as often, so that one slow answer does no
# harm. After a run died on another machine, the next run waits this long.
LEASE_SECONDS = 60.0
RENEWALS_IN_A_LEASE = 4
# A holder stops writing a little before others may take over: the server tells whole seconds.
SAFE_SHARE = 0.9
CONFIRMED_SECONDS = 1.0
# Limits of each request to S3. Requests are tiny, so a silent server is asked again sooner than for data.
ATTEMPTS = 6
CONNECT_SECONDS = 5
SILENCE_SECONDS = 10

Waiting = Callable[[str], None]  # called once, with the holder's name


class Lock(Protocol):
    """One lock of a lake."""

    def try_acquire(self, owner: str) -> bool: ...

    def release(self) -> None: ...

    def holder(self) -> str | None:
        """The holder's name; None if nobody holds the lock."""

    def ensure(self, at: datetime | None = None) -> None:
        """Raises TransientLakeError if the lock may no longer have been held.

        Args:
            at: a time by the server's clock; None for now, by the clock of this machine.
        """

    def confirm(self) -> None:
        """Makes sure that the lock is still held, and asks S3 at most once in CONFIRMED_SECONDS. Raises
        TransientLakeError if it is not."""


@contextlib.contextmanager
def held(lock: Lock, owner: str, on_wait: Waiting | None = None) -> Iterator[bool]:
    """Waits until nobody else holds the lock, then holds it. Yields whether it had to wait."""
    has_waited = False
    while not lock.try_acquire(owner):
        if not has_waited and on_wait is not None:
            on_wait(lock.holder() or "another run")
        has_waited = True
        time.sleep(SECONDS_BETWEEN_TRIES)
    try:
        yield has_waited
    finally:
        lock.release()


class FolderLock:
    """A file that is locked while the lock is held, and removed afterwards. It contains its owner's name."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def try_acquire(self, owner: str) -> bool:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_this_one = os.fstat(file).st_ino == os.stat(self._path).st_ino  # noqa: PTH116 - like fstat
        except (BlockingIOError, FileNotFoundError):
            is_this_one = False  # held, or its last holder has just removed the file
        if not is_this_one:
            os.close(file)
            return False
        self._file = file
        with contextlib.suppress(OSError):  # on a full disk the others cannot read the holder's name
            os.truncate(file, 0)
            os.write(file, owner.encode())
        return True

    def release(self) -> None:
        if self._file is not None:
            self._path.unlink(missing_ok=True)  # before the file is unlocked, so that no other run can lock it
            os.close(self._file)
            self._file = None

    def holder(self) -> str | None:
        try:
            with self._path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return None  # its holder died and left the file
        except FileNotFoundError:
            return None
        except BlockingIOError:
            with contextlib.suppress(OSError):
                return self._path.read_text("utf-8") or "another run"
            return None

    def ensure(self, at: datetime | None = None) -> None:
        """Does nothing: the system holds the lock as long as the process lives."""

    def confirm(self) -> None:
        """Does nothing, as `ensure`."""


class S3Lock:
    """A lease: an object with its owner's name.

    Its age is measured by the server's clock only: its Last-Modified against the Date of the same answer.
    """

    def __init__(self, client: Any, bucket: str, key: str) -> None:
        self._client, self._where = client, {"Bucket": bucket, "Key": key}
        self._etag: str | None = None
        self._body = b""
        self._confirmed = float("-inf")
        self._renewed = 0.0
        self._renewed_at: datetime | None = None  # by the server's clock, which goes on while this machine sleeps
        self._stop = threading.Event()

    def try_acquire(self, owner: str) -> bool:
        body = f"{owner}\n{os.urandom(8).hex()}".encode()  # makes the etag of each lease unique
        if self._put(body, IfNoneMatch="*") or self._is_mine(body):
            return self._keep(body)
        silent = self._silent_etag()
        if silent and (self._put(body, IfMatch=silent) or self._is_mine(body)):
            return self._keep(body)
        return False

    def _is_mine(self, body: bytes) -> bool:
        """Whether a refused put had succeeded before: its answer was lost, and the client sent it again."""
        from botocore.exceptions import ClientError

        sent = time.monotonic()
        try:
            found = self._client.get_object(**self._where)
            if found["Body"].read() != body:
                return False
        except ClientError:
            return False
        except Exception as error:
            raise _unanswered(self._where, error) from error
        self._etag, self._renewed, self._renewed_at = found["ETag"], sent, found["LastModified"]
        return True

    def _put(self, body: bytes, **condition: str) -> bool:
        """Whether the object was put under this condition."""
        from botocore.exceptions import ClientError

        sent = time.monotonic()
        try:
            done = self._client.put_object(**self._where, Body=body, **condition)
        except ClientError as error:
            code = code_of(error)
            if code in ("PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey", "412", "409", "404"):
                return False
            raise _explained(self._where, code) from error
        except Exception as error:
            raise _unanswered(self._where, error) from error
        self._etag, self._renewed, self._renewed_at = done["ETag"], sent, time_of(done)
        return True

    def _silent_etag(self) -> str | None:
        """The etag of a lease that was not renewed in time; None if the lease is alive or gone."""
        found = self._head()
        if found is None:
            return None
        return str(found["ETag"]) if (time_of(found) - found["LastModified"]).total_seconds() > LEASE_SECONDS else None

    def _head(self) -> dict[str, Any] | None:
        from botocore.exceptions import ClientError

        try:
            return dict(self._client.head_object(**self._where))
        except ClientError as error:
            if code_of(error) in ("404", "NoSuchKey"):
                return None
            raise _explained(self._where, code_of(error)) from error
        except Exception as error:
            raise _unanswered(self._where, error) from error

    def _keep(self, body: bytes) -> bool:
        self._body = body
        self._stop = threading.Event()
        threading.Thread(target=self._renew, args=(body, self._stop), name="lease", daemon=True).start()
        return True

    def _renew(self, body: bytes, stop: threading.Event) -> None:
        while not stop.wait(LEASE_SECONDS / RENEWALS_IN_A_LEASE):
            with contextlib.suppress(LakeError, TransientError):  # the next renewal may succeed
                if not self._put(body, IfMatch=str(self._etag)) and not self._is_mine(body):
                    self._renewed, self._renewed_at = float("-inf"), None  # it was taken over
                    return

    def release(self) -> None:
        self._stop.set()
        if self._etag is None:
            return
        with contextlib.suppress(Exception):  # otherwise the lease expires by itself
            found = self._head()
            if found is not None and found["ETag"] == self._etag:
                self._client.delete_object(**self._where)
        self._etag = None

    def holder(self) -> str | None:
        from botocore.exceptions import ClientError

        if self._head() is None or self._silent_etag() is not None:
            return None
        try:
            body: bytes = self._client.get_object(**self._where)["Body"].read()
        except ClientError:
            return None
        return body.decode("utf-8", "replace").split("\n")[0] or "another run"

    def ensure(self, at: datetime | None = None) -> None:
        renewed_at = self._renewed_at
        silent = (at - renewed_at).total_seconds() if at and renewed_at else 0.0
        if silent > SAFE_SHARE * LEASE_SECONDS or time.monotonic() - self._renewed > LEASE_SECONDS:
            raise self._lost()

    def confirm(self) -> None:
        from botocore.exceptions import ClientError

        self.ensure()
        if time.monotonic() - self._confirmed < CONFIRMED_SECONDS:
            return
        try:
            is_mine = self._client.get_object(**self._where)["Body"].read() == self._body
        except ClientError as error:
            if code_of(error) not in ("404", "NoSuchKey"):
                raise _explained(self._where, code_of(error)) from error
            is_mine = False
        except Exception as error:
            raise _unanswered(self._where, error) from error
        if not is_mine:
            raise self._lost()
        self._confirmed = time.monotonic()

    def _lost(self) -> TransientLakeError:
        name = self._where["Key"]
        return TransientLakeError(
            f"{name}: this run was silent for {LEASE_SECONDS:.0f} s, and another may be at work. Run again"
        )


def _unanswered(where: dict[str, str], error: Exception) -> Exception:
    return TransientLakeError(
        f"locking s3://{where['Bucket']}/{where['Key']}: S3 does not answer ({type(error).__name__}). Check "
        "CLICKLAKE_S3_ENDPOINT_URL, and whether this machine may reach it"
    )


def _explained(where: dict[str, str], reason: str) -> Exception:
    doing = f"locking s3://{where['Bucket']}/{where['Key']}"
    if reason in ("AccessDenied", "403", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"):
        return LakeError(f"{doing}: S3 refused these credentials ({reason}). Check the keys and the bucket's policy")
    if reason in ("NoSuchBucket",):
        return LakeError(f"{doing}: no such bucket. Create it, or correct CLICKLAKE_LAKE")
    if reason in ("NotImplemented", "501"):
        return LakeError(f"{doing}: this S3 knows no conditional writes (If-None-Match), which locks need")
    return TransientLakeError(f"{doing}: S3 answered {reason or 'with an error'}")

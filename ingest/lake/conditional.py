"""Puts and deletes on S3 that apply only to what was seen under the key before.

A run that was suspended, and whose lease another run has taken over since, would otherwise overwrite what that run has
published. pyarrow cannot send conditions, so these requests go through boto3.

S3 answers 412, 404 or 409 where a condition does not hold. It also answers 412 if a put had succeeded, its answer was
lost, and the client sent it again. So each put carries an id of its own in its metadata, which is looked for then.
"""

from __future__ import annotations

import contextlib
import re
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from ingest.errors import OvertakenError

WRITE_ID = "clicklake-write"  # metadata
PART_BYTES = 8 << 20  # a larger file is uploaded in parts of this size or, if it would have too many, of a larger one
MAX_PARTS = 9_000
PARTS_AT_ONCE = 4
_NOT_AS_SEEN = ("PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey", "412", "409", "404")
_NO_CONDITIONS = ("NotImplemented", "501")


@dataclass(frozen=True)
class Seen:
    """What stood under a key.

    etag: None if there was no object. at: the time by the server's clock.
    """

    etag: str | None
    at: datetime
    write_id: str | None = None


NOTHING = Seen(None, datetime.min)


@dataclass(frozen=True)
class Objects:
    """The objects of a bucket, by their keys in it."""

    client: Any
    bucket: str

    def look(self, key: str) -> Seen:
        from botocore.exceptions import ClientError

        with as_os_error():
            try:
                found = self.client.head_object(Bucket=self.bucket, Key=key)
            except ClientError as error:
                if code_of(error) not in ("404", "NoSuchKey"):
                    raise
                return Seen(None, time_of(error.response))
        return Seen(found["ETag"], time_of(found), found.get("Metadata", {}).get(WRITE_ID))

    def below(self, prefix: str) -> dict[str, Seen]:
        """Key → what stands there, for the key `prefix` itself and all keys in this folder."""
        found: dict[str, Seen] = {}
        with as_os_error():
            for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix):
                at = time_of(page)
                for each in page.get("Contents", ()):
                    if each["Key"] == prefix or each["Key"].startswith(prefix.rstrip("/") + "/"):
                        found[each["Key"]] = Seen(each["ETag"], at)
        return found

    def put(self, local: Path, key: str, seen: Seen | None = None) -> None:
        """Uploads a file.

        Args:
            seen: the put fails if anything else stands under the key by now; None for a put without a condition.

        Raises:
            OvertakenError: something else stands there.
            OSError: S3 cannot be reached, or refuses.
        """
        from botocore.exceptions import ClientError

        id_ = uuid.uuid4().hex
        condition = {} if seen is None else {"IfMatch": seen.etag} if seen.etag else {"IfNoneMatch": "*"}
        with as_os_error():
            try:
                self._put(local, {"Bucket": self.bucket, "Key": key}, id_, condition)
            except ClientError as error:
                if seen is None or code_of(error) not in _NOT_AS_SEEN:
                    raise
                if self.look(key).write_id != id_:
                    raise self._overtaken(key) from error

    def _put(self, local: Path, where: dict[str, str], id_: str, condition: dict[str, str]) -> None:
        size = local.stat().st_size
        if size <= PART_BYTES:
            with local.open("rb") as content:
                self.client.put_object(**where, Body=content, Metadata={WRITE_ID: id_}, **condition)
            return
        upload = where | {
            "UploadId": self.client.create_multipart_upload(**where, Metadata={WRITE_ID: id_})["UploadId"]
        }
        try:
            part = max(PART_BYTES, -(-size // MAX_PARTS))
            with ThreadPoolExecutor(PARTS_AT_ONCE, thread_name_prefix="upload") as pool:
                starts = enumerate(range(0, size, part), 1)
                sent = [pool.submit(self._part, local, upload, part, *each) for each in starts]
                try:
                    parts = [each.result() for each in sent]
                except BaseException:
                    pool.shutdown(cancel_futures=True)
                    raise
            self.client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts}, **condition)
        except BaseException:
            with contextlib.suppress(Exception):  # else the bucket's rule for unfinished uploads removes the parts
                self.client.abort_multipart_upload(**upload)
            raise

    def _part(self, local: Path, upload: dict[str, Any], size: int, number: int, start: int) -> dict[str, Any]:
        with local.open("rb") as file:
            file.seek(start)
            sent = self.client.upload_part(**upload, PartNumber=number, Body=file.read(size))
        return {"PartNumber": number, **{name: sent[name] for name in ("ETag", "ChecksumCRC32") if name in sent}}

    def delete(self, key: str, seen: Seen | None = None) -> None:
        """Deletes an object; an object that is gone is no error. A condition is left out where S3 knows none.

        Raises as `put` does.
        """
        from botocore.exceptions import ClientError

        where = {"Bucket": self.bucket, "Key": key}
        with as_os_error():
            try:
                self.client.delete_object(**where, **({"IfMatch": seen.etag} if seen and seen.etag else {}))
            except ClientError as error:
                if seen is not None and code_of(error) in _NO_CONDITIONS:
                    self.client.delete_object(**where)
                elif code_of(error) not in ("404", "NoSuchKey"):
                    if seen is None or code_of(error) not in _NOT_AS_SEEN:
                        raise
                    raise self._overtaken(key) from error

    def _overtaken(self, key: str) -> OvertakenError:
        return OvertakenError(
            f"s3://{self.bucket}/{key}: another run has written it since this run looked. Nothing was overwritten. "
            "Run again"
        )


def code_of(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def time_of(answer: Any) -> datetime:
    """When the server answered, by its own clock, in whole seconds."""
    return parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])


@contextlib.contextmanager
def as_os_error() -> Iterator[None]:
    """Turns errors of boto3 into OSErrors with the names that pyarrow gives them, so that both are explained alike."""
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        ConnectTimeoutError,
        EndpointConnectionError,
        HTTPClientError,
    )

    try:
        yield
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", "")
        code = {"403": "AccessDenied", "404": "NotFound"}.get(code_of(error), code_of(error))
        name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", code).upper()
        raise OSError(f"{name} (HTTP status {status})") from error
    except (EndpointConnectionError, ConnectTimeoutError) as error:
        raise OSError("NETWORK_CONNECTION") from error
    except HTTPClientError as error:
        raise OSError(f"the answer broke off (HTTP status -1, {type(error).__name__})") from error
    except BotoCoreError as error:
        raise OSError(str(error)) from error

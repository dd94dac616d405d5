"""Access to S3: by pyarrow, by DuckDB through pyarrow, and by boto3 for what pyarrow does not support."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pyarrow import fs

# Limits of every request. A server that is silent for this long counts as dead; S3 answers within a second.
ATTEMPTS = 5
CONNECT_SECONDS = 10
SILENCE_SECONDS = 30


@dataclass(frozen=True)
class S3Options:
    """How to reach S3. Values that are None come from the AWS default chain (environment, profile, role)."""

    endpoint_url: str | None = None
    region: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = None
    session_token: str | None = None

    def __repr__(self) -> str:
        return f"S3Options(endpoint_url={self.endpoint_url!r}, region={self.region!r})"


def filesystem(options: S3Options) -> fs.FileSystem:
    endpoint = options.endpoint_url or ""
    scheme, _, address = endpoint.rpartition("://")
    return fs.S3FileSystem(
        access_key=options.access_key_id,
        secret_key=options.secret_access_key,
        session_token=options.session_token,
        region=options.region,
        endpoint_override=address or None,
        scheme=scheme.lower() or "https",
        connect_timeout=CONNECT_SECONDS,
        request_timeout=SILENCE_SECONDS,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
    )


def client(
    options: S3Options,
    attempts: int = ATTEMPTS,
    connect_seconds: float | None = None,
    silence_seconds: float | None = None,
    connections: int = 10,
) -> Any:
    """A boto3 client. It reuses connections, and retries throttled requests with growing pauses.

    Args:
        connect_seconds, silence_seconds: timeouts; by default CONNECT_SECONDS and SILENCE_SECONDS, since botocore's own
            are a minute each.
        connections: the number of connections that are kept open.
    """
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=options.endpoint_url,
        region_name=options.region,
        aws_access_key_id=options.access_key_id,
        aws_secret_access_key=options.secret_access_key,
        aws_session_token=options.session_token,
        config=Config(
            retries={"mode": "standard", "total_max_attempts": attempts},
            connect_timeout=connect_seconds or CONNECT_SECONDS,
            read_timeout=silence_seconds or SILENCE_SECONDS,
            max_pool_connections=connections,
        ),
    )


def as_fsspec(filesystem: fs.FileSystem, only_below: str | None = None) -> Any:
    """pyarrow's S3 filesystem as an fsspec filesystem, through which DuckDB reads without its httpfs extension.

    Args:
        only_below: `bucket/prefix`. The filesystem is then read-only and limited to this prefix. DuckDB's own
            check only compares the beginnings of addresses, which `..` would get around.
    """
    from fsspec.implementations.arrow import ArrowFSWrapper

    class LakeFileSystem(ArrowFSWrapper):  # type: ignore[misc]
        protocol = "s3"
        cachable = False

        @classmethod
        def _strip_protocol(cls, path: str) -> str:
            return path.removeprefix("s3://")

    class ReadOnly(LakeFileSystem):
        def _open(self, path: str, mode: str = "rb", *args: Any, **kwargs: Any) -> Any:
            if mode != "rb":
                raise PermissionError(f"{path}: the lake is only read here")
            return super()._open(_checked(path), mode, *args, **kwargs)

        def info(self, path: str, **kwargs: Any) -> Any:
            return super().info(_checked(self._strip_protocol(path)), **kwargs)

        def ls(self, path: str, detail: bool = False, **kwargs: Any) -> Any:
            return super().ls(_checked(self._strip_protocol(path)), detail, **kwargs)

        def _refuse(self, *args: Any, **kwargs: Any) -> Any:
            raise PermissionError("the lake is only read here")

        rm = rm_file = mv = cp_file = mkdir = makedirs = rmdir = touch = _refuse

    def _checked(path: str) -> str:
        if not f"{path}/".startswith(f"{only_below}/") or {"..", "."} & set(path.split("/")):
            raise PermissionError(f"{path}: only {only_below} is read here")
        return path

    return LakeFileSystem(filesystem) if only_below is None else ReadOnly(filesystem)

"""The resource that gives runs their settings, sources, lake and DuckDB. It opens nothing until a run asks for it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import dagster as dg
from dagster_duckdb import DuckDBResource
from duckdb import DuckDBPyConnection

from ingest.lake import s3
from ingest.lake.files import Lake
from ingest.partition.datasets import ACCESS_LOGS, EVENTS
from ingest.partition.stage import FETCH_THREADS
from ingest.source import Source, Terms, open_source
from orchestration.settings import Settings, load_settings

SETTINGS = {ACCESS_LOGS.name: "CLICKLAKE_LOGS", EVENTS.name: "CLICKLAKE_EVENTS"}


class Lakehouse(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The sources and the lake that the settings name.

    duckdb: the engine with which Python reads the lake; `connection_config` limits its memory and threads.
    """

    duckdb: DuckDBResource

    def settings(self) -> Settings:
        return load_settings()

    def lake(self) -> Lake:
        return self.settings().open_lake()

    def sources(self) -> dict[str, Source]:
        return sources_of(self.settings())

    @contextmanager
    def engine(self) -> Iterator[DuckDBPyConnection]:
        """A temporary DuckDB connection that reads the lake."""
        with self.duckdb.get_connection() as connection:
            self.lake().attach(connection)
            yield connection


def sources_of(settings: Settings) -> dict[str, Source]:
    """Dataset → its source, for each dataset that the settings name."""
    places = {ACCESS_LOGS.name: settings.logs, EVENTS.name: settings.events}
    return {name: _open(url, settings, name) for name, url in places.items() if url is not None}


def terms_of(settings: Settings, dataset: str) -> Terms:
    """What is agreed about the objects of a dataset's source."""
    kept_days = settings.logs_kept_days if dataset == ACCESS_LOGS.name else settings.events_kept_days
    return Terms(kept_days, timedelta(hours=settings.quiet_after_hours), settings.deletions_correct)


def _open(url: str, settings: Settings, dataset: str) -> Source:
    client = _s3_client(settings) if url.startswith("s3://") else None
    return open_source(url, client, SETTINGS[dataset], terms_of(settings, dataset))


def _s3_client(settings: Settings) -> Any:
    """An S3 client through dagster-aws's resource. It adds what the resource has no settings for: a timeout for each
    response, and a connection for each thread that fetches."""
    from dagster_aws.s3 import S3Resource  # imported here, because it loads all of dagster-aws

    class Sources(S3Resource):
        def get_client(self) -> Any:
            return s3.client(settings.s3, connections=FETCH_THREADS)

    return Sources(endpoint_url=settings.s3.endpoint_url, region_name=settings.s3.region).get_client()

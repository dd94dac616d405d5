"""What a run needs of the outside. Nothing is opened, and no setting read, before it is asked for."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
from dagster_duckdb import DuckDBResource
from duckdb import DuckDBPyConnection

from ingest.lake import s3
from ingest.lake.files import Lake
from ingest.lake.s3 import S3Options
from ingest.partition.datasets import ACCESS_LOGS, EVENTS
from ingest.partition.stage import FETCH_THREADS
from ingest.source import Source, open_source
from orchestration.settings import Settings, load_settings

SETTINGS = {ACCESS_LOGS.name: "CLICKLAKE_LOGS", EVENTS.name: "CLICKLAKE_EVENTS"}


class Lakehouse(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The logs, the events and the lake, as the settings name them."""

    duckdb: DuckDBResource

    def settings(self) -> Settings:
        return load_settings()

    def lake(self) -> Lake:
        return self.settings().open_lake()

    def sources(self) -> dict[str, Source]:
        return sources_of(self.settings())

    @contextmanager
    def engine(self) -> Iterator[DuckDBPyConnection]:
        """A disposable in-memory DuckDB that reads the lake."""
        with self.duckdb.get_connection() as connection:
            self.lake().attach(connection)
            yield connection


def sources_of(settings: Settings) -> dict[str, Source]:
    """Dataset → where its objects are, of all datasets that the settings name."""
    places = {ACCESS_LOGS.name: settings.logs, EVENTS.name: settings.events}
    return {
        name: open_source(url, s3_client(settings) if url.startswith("s3://") else None, SETTINGS[name])
        for name, url in places.items()
        if url is not None
    }


def s3_client(settings: Settings) -> Any:
    """A boto3 client with a connection for each thread that fetches."""
    from dagster_aws.s3 import S3Resource  # here, for it loads all of dagster-aws

    class Client(S3Resource):
        """With a time for every answer, which dagster-aws has no setting for."""

        def get_client(self) -> Any:
            options = S3Options(
                self.endpoint_url,
                self.region_name,
                self.aws_access_key_id,
                self.aws_secret_access_key,
                self.aws_session_token,
            )
            return s3.client(options, connections=FETCH_THREADS)

    options = settings.s3
    return Client(
        endpoint_url=options.endpoint_url,
        region_name=options.region,
        aws_access_key_id=options.access_key_id,
        aws_secret_access_key=options.secret_access_key,
        aws_session_token=options.session_token,
    ).get_client()


def default_resources() -> dict[str, Any]:
    from orchestration.marts.project import dbt_resource

    return {"lakehouse": Lakehouse(duckdb=DuckDBResource(database=":memory:")), "dbt": dbt_resource()}

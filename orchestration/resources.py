"""What a run needs of the outside. Nothing is opened, and no setting read, before it is asked for."""

import dagster as dg

from ingest.lake import s3
from ingest.lake.files import Lake
from ingest.partition.datasets import ACCESS_LOGS, EVENTS
from ingest.partition.stage import FETCH_THREADS
from ingest.source import Source, open_source
from orchestration.settings import Settings, load_settings

SETTINGS = {ACCESS_LOGS.name: "CLICKLAKE_LOGS", EVENTS.name: "CLICKLAKE_EVENTS"}


class Lakehouse(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The logs, the events and the lake, as the settings name them."""

    def settings(self) -> Settings:
        return load_settings()

    def lake(self) -> Lake:
        return self.settings().open_lake()

    def sources(self) -> dict[str, Source]:
        return sources_of(self.settings())


def sources_of(settings: Settings) -> dict[str, Source]:
    """Dataset → where its objects are, of all datasets that the settings name."""
    places = {ACCESS_LOGS.name: settings.logs, EVENTS.name: settings.events}
    return {name: _open(url, settings, SETTINGS[name]) for name, url in places.items() if url is not None}


def _open(url: str, settings: Settings, setting: str) -> Source:
    client = s3.client(settings.s3, connections=FETCH_THREADS) if url.startswith("s3://") else None
    return open_source(url, client, setting)

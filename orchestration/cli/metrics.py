"""`clicklake metrics`: an exporter for Prometheus, or its text printed once."""

from __future__ import annotations

import signal
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from orchestration.cli import DONE
from orchestration.cli.console import notes
from orchestration.home import dagster_instance
from orchestration.settings import load_lake_settings

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

PORT = 9464


@click.command("metrics", short_help="Serve metrics for Prometheus, or print them once.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, help="Port; 0 for any.")
@click.option("--once", is_flag=True, help="Print the metrics and end.")
def command(host: str, port: int, once: bool) -> int:
    """Reads Dagster's records and the lake when it is scraped, at most every 15 seconds, and changes nothing.

    It needs only the daemon's DAGSTER_HOME and read access to the lake. docs/observability.md lists the metrics;
    deploy/observability holds a dashboard, alert rules and a scrape configuration.
    """
    lake = load_lake_settings().open_lake()
    from orchestration.marts.project import prepare

    prepare()
    from prometheus_client import generate_latest

    from orchestration.definitions import defs
    from orchestration.observability.metrics import registry_of

    with dagster_instance() as instance:
        registry = registry_of(lake, instance, defs)
        if once:
            click.echo(generate_latest(registry).decode(), nl=False)
        else:
            _serve(registry, host, port)
    return DONE


def _serve(registry: CollectorRegistry, host: str, port: int) -> None:
    """Serves metrics until Ctrl-C or SIGTERM."""
    from prometheus_client import start_http_server

    try:
        server, _ = start_http_server(port, host, registry)
    except OSError as error:
        raise click.UsageError(f"{host}:{port} cannot be listened on: {error.strerror}. Name another --port.") from None
    notes.print(f"Metrics at http://{host}:{server.server_port}/metrics; Ctrl-C ends it")
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    with suppress(KeyboardInterrupt):
        ended.wait()
    server.shutdown()

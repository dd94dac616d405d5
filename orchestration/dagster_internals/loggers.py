"""The console logger of runs.

Private: the metadata that Dagster adds to a run's log record, its levels by name, and the function of its own console
logger. A run that configures no logger uses that logger instead of the one of the definitions. Without it the logs of
runs are not JSON if CLICKLAKE_LOG_FORMAT is json. Public way: none so far; a test fails if the function goes away.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import dagster as dg
from dagster._core.log_manager import LOG_RECORD_METADATA_ATTR
from dagster._core.utils import coerce_valid_log_level


def of_run(record: logging.LogRecord) -> Mapping[str, Any] | None:
    """The metadata of a record that a run logged: job_tags, dagster_event, orig_message, run_id, job_name, step_key.
    None for any other record."""
    return getattr(record, LOG_RECORD_METADATA_ATTR, None)


def level_of(context: dg.InitLoggerContext) -> int:
    return coerce_valid_log_level(context.logger_config["log_level"])


def replace_console_logger(make: Callable[[dg.InitLoggerContext], logging.Logger]) -> None:
    """Replaces the console logger of all runs of this process that configure no logger."""
    dg.colored_console_logger._logger_fn = make  # type: ignore[attr-defined]

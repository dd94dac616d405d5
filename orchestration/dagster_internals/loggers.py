"""The console logger of runs.

Private: what Dagster hangs on a record of a run, its levels by name, and the function of its own console logger, which
a run that configures no logger takes instead of that of the definitions. Without it logs of runs are no JSON where
CLICKLAKE_LOG_FORMAT asks for it. Public way: none as yet; a test notices should the function go away.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import dagster as dg
from dagster._core.log_manager import LOG_RECORD_METADATA_ATTR
from dagster._core.utils import coerce_valid_log_level


def of_run(record: logging.LogRecord) -> Mapping[str, Any] | None:
    """What Dagster knows of a record that a run logged: job_tags, dagster_event, orig_message, run_id, job_name,
    step_key; None of another."""
    return getattr(record, LOG_RECORD_METADATA_ATTR, None)


def level_of(context: dg.InitLoggerContext) -> int:
    return coerce_valid_log_level(context.logger_config["log_level"])


def replace_console_logger(make: Callable[[dg.InitLoggerContext], logging.Logger]) -> None:
    """For all runs of this process that configure no logger."""
    dg.colored_console_logger._logger_fn = make  # type: ignore[attr-defined]

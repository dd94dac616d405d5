"""Logs as JSON, one object a line, if CLICKLAKE_LOG_FORMAT is `json`."""

import datetime as dt
import json
import logging
import sys
from collections.abc import Mapping
from typing import Any

import dagster as dg

from orchestration.dagster_internals.loggers import level_of, of_run, replace_console_logger
from orchestration.partitions import days_of_tags
from orchestration.settings import JSON, load_partition_settings

FIGURES = "clicklake_figures"  # extra={FIGURES: {…}} in a log call adds these fields


class JsonFormatter(logging.Formatter):
    """time, level, logger, message; for a run's records also run_id, job, step, partition, asset, rows, seconds …"""

    def format(self, record: logging.LogRecord) -> str:
        time = dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds")
        fields = {"time": time, "level": record.levelname.lower(), "logger": record.name}
        told = of_run(record)
        fields |= _of_run(told) if told else {"message": record.getMessage()}
        if record.exc_info and record.exc_info[1]:
            fields["error"] = f"{type(record.exc_info[1]).__name__}: {record.exc_info[1]}"
        fields |= getattr(record, FIGURES, {})
        return json.dumps({name: value for name, value in fields.items() if value is not None}, default=str)


def _of_run(told: Mapping[str, Any]) -> dict[str, Any]:
    days = days_of_tags(told["job_tags"])
    event: dg.DagsterEvent | None = told["dagster_event"]
    return {
        "message": told["orig_message"],
        "run_id": told["run_id"],
        "job": told["job_name"],
        "step": told["step_key"],
        "partition": days[0] if len(days) == 1 else None,
        "partitions": [days[0], days[-1]] if len(days) > 1 else None,
        **(_of_event(event) if event else {}),
    }


def _of_event(event: dg.DagsterEvent) -> dict[str, Any]:
    """The event's type, asset and figures. An event's own partition replaces the run's."""
    data = event.event_specific_data
    fields: dict[str, Any] = {"event": event.event_type_value}
    if event.is_step_materialization:
        made = event.step_materialization_data.materialization
        figures = {name: value.value for name, value in made.metadata.items()}
        fields |= {"asset": made.asset_key.to_user_string(), "partition": made.partition}
        fields |= {"rows": figures.get("dagster/partition_row_count"), "seconds": figures.get("seconds")}
    elif isinstance(data, dg.AssetCheckEvaluation):
        fields |= {"asset": data.asset_key.to_user_string(), "partition": data.partition}
        fields |= {"check": data.check_name, "passed": data.passed}
    elif event.is_step_success:
        fields["seconds"] = round(event.step_success_data.duration_ms / 1000, 3)
    error = getattr(data, "error", None)
    if error is not None:
        fields["error"] = error.message.strip()
    return fields


def _json_logger(context: dg.InitLoggerContext) -> logging.Logger:
    log = logging.Logger(context.logger_config["name"], level_of(context))
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    log.addHandler(handler)
    return log


json_logger = dg.LoggerDefinition(
    _json_logger, config_schema=dg.colored_console_logger.config_schema, description="One JSON object a line."
)


def loggers() -> dict[str, dg.LoggerDefinition]:
    """The console logger of all runs, by CLICKLAKE_LOG_FORMAT."""
    if load_partition_settings().log_format != JSON:
        return {"console": dg.colored_console_logger}
    replace_console_logger(_json_logger)
    return {"console": json_logger}

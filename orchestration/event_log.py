"""Where a dagster.yaml of an earlier version looks for the storage that is in `dagster_internals/event_log.py` now."""

from orchestration.dagster_internals.event_log import EventLogStorage

__all__ = ["EventLogStorage"]

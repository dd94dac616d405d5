"""Import path for a dagster.yaml of an earlier version; the storage is in `dagster_internals/event_log.py`."""

from orchestration.dagster_internals.event_log import EventLogStorage

__all__ = ["EventLogStorage"]

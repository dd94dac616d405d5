"""The definitions as they are, with a sensor `dead_runs` that does not wait as long as in production.

Fifteen seconds are more than a run at work is without its lock, between two steps, on a busy machine.
"""

from orchestration.operations import sensors

sensors.SECONDS_OF_SILENCE = 15
sensors.dead_runs._min_interval = 5

from orchestration.definitions import defs  # noqa: E402

__all__ = ["defs"]

"""How often Python looks for cyclic garbage."""

import gc

OBJECTS = 100_000  # made since the last look before the next; Python's own is 700


def collect_seldom() -> None:
    """Lets this process look for cyclic garbage more seldom. Loading Dagster, dbt or the definitions makes many objects
    and drops few: with Python's own numbers, a quarter of that time goes into looking at them again and again."""
    gc.set_threshold(OBJECTS, 20, 100)

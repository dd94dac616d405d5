"""Whether this is `dagster dev`.

Private: the variable that it sets. Without it no warning says that a home without dagster.yaml neither monitors nor
retries runs. Public way: none so far.
"""

from dagster._utils.env import using_dagster_dev

__all__ = ["using_dagster_dev"]

"""Whether this is `dagster dev`.

Private: the variable that it sets. Without it nobody is told that a home without dagster.yaml neither watches nor
retries runs. Public way: none as yet.
"""

from dagster._utils.env import using_dagster_dev

__all__ = ["using_dagster_dev"]

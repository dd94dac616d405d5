"""Maps the library's errors to Dagster's: a retry where that may help, else a failure with one sentence."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date

import dagster as dg
import duckdb

from ingest.days import day_text
from ingest.errors import ClicklakeError, TransientError
from ingest.words import counted

# A step's pauses grow: 5, 15 and 45 s outlast the election of a primary, and most passing errors of S3.
RETRIES = 3
SECONDS_BETWEEN_RETRIES = 5
LONGER_EACH_TIME = 3


@contextmanager
def explained() -> Iterator[None]:
    """Turns a transient error into a retry, and any other error of the library into a failure in one sentence."""
    try:
        yield
    except TransientError as error:
        retries = _retries_so_far()
        if retries >= RETRIES:  # Dagster would show the retry request instead of the reason
            raise dg.Failure(f"{error} (tried {retries + 1} times)", allow_retries=False) from error
        raise dg.RetryRequested(RETRIES, SECONDS_BETWEEN_RETRIES * LONGER_EACH_TIME**retries) from error
    except ClicklakeError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    except (MemoryError, RuntimeError, duckdb.OutOfMemoryException) as error:
        if isinstance(error, RuntimeError) and "can't start new thread" not in str(error):
            raise
        raise dg.Failure(
            "out of memory. Give the process more, or set CLICKLAKE_WORKERS lower; the last good files stand",
            allow_retries=False,
        ) from error


def _retries_so_far() -> int:
    """Retries of the running step so far; 0 outside a run."""
    try:
        return dg.OpExecutionContext.get().retry_number
    except dg.DagsterInvariantViolationError:
        return 0


def failed(bad: Mapping[date, str], advice: str = "") -> dg.Failure:
    """A failure that is not retried, with the reason of each day."""
    lines = [f"{day}: {reason}" for day, reason in sorted(bad.items())]
    return dg.Failure(
        f"{counted(len(bad), 'day')} not published. " + " | ".join([*lines, advice] if advice else lines),
        metadata={"days": dg.MetadataValue.json({day_text(day): reason for day, reason in bad.items()})},
        allow_retries=False,
    )

"""Tells errors that end a run from errors that refuse one partition and let the others go on."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import duckdb

from ingest.errors import ClicklakeError, PartitionError, ReadWholeError
from ingest.partition.joined_files import NotJoinableError
from ingest.rows.privacy import scrub_line

# Errors of the machine. They do not come from a partition: every other one would meet them too.
_MACHINE = (MemoryError, duckdb.OutOfMemoryException, duckdb.IOException)
_ERRNOS_OF_A_NAME = (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ)
MAX_SAID = 200  # characters of an error's text, which may be as long as the data


def is_unexpected(error: Exception) -> bool:
    """Whether an error comes from the data: it is neither one of our own errors nor one of the machine."""
    if isinstance(error, (ClicklakeError, ReadWholeError, NotJoinableError, *_MACHINE)):
        return False
    if isinstance(error, OSError):  # Arrow's errors about data have no errno
        return error.errno is None or error.errno in _ERRNOS_OF_A_NAME
    return not (isinstance(error, RuntimeError) and "can't start new thread" in str(error))


def said(error: Exception) -> str:
    """An error in one line. The text may quote the data, so it is scrubbed like a rejected line."""
    words = scrub_line((str(error).strip().splitlines() or [""])[0][: 4 * MAX_SAID])[:MAX_SAID]
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


@contextmanager
def border(doing: Callable[[], str]) -> Iterator[None]:
    """Turns an unexpected error into the refusal of a partition. `doing` returns what was tried, with the objects."""
    try:
        yield
    except Exception as error:
        if not is_unexpected(error):
            raise
        raise PartitionError(f"{doing()}: {said(error)}") from error

"""What DuckDB takes for JSON and RFC 8259 does not: NaN, infinity, and a comma behind the last element."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_MAY_BE_NONE = r"(?i)(?:^|[:\[,])\s*-?(?:nan|inf(?:inity)?)\s*(?:[,}\]]|$)|,\s*[}\]]"  # in a text it does no harm


def no_json(texts: pa.Array) -> list[int]:
    """The places of texts that are no JSON, of those that DuckDB takes. Only what may be one of them is read."""
    suspects = np.flatnonzero(pc.match_substring_regex(texts, _MAY_BE_NONE).to_numpy(zero_copy_only=False))
    return [place for place in suspects.tolist() if not _is_json(texts[place].as_py())]


def no_constant(text: str) -> Any:
    """For `json.loads`, which takes NaN and infinity as well."""
    raise ValueError(f"{text} is no JSON")


def _is_json(text: str) -> bool:
    """Numbers of any length are read: as texts, for Python makes no number of so many digits."""
    try:
        json.loads(text, parse_int=str, parse_float=str, parse_constant=no_constant)
    except ValueError:
        return False
    except RecursionError:  # how deep it may be is another rule's
        return True
    return True

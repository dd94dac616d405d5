"""Finds texts that DuckDB accepts as JSON and RFC 8259 does not: NaN, infinity, a comma after the last element."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_MAY_BE_NONE = r"(?i)(?:^|[:\[,])\s*-?(?:nan|inf(?:inity)?)\s*(?:[,}\]]|$)|,\s*[}\]]"  # harmless in a string


def no_json(texts: pa.Array) -> list[int]:
    """The positions of texts that are not JSON, among texts that DuckDB accepts. Only suspicious texts are parsed."""
    suspects = np.flatnonzero(pc.match_substring_regex(texts, _MAY_BE_NONE).to_numpy(zero_copy_only=False))
    return [place for place in suspects.tolist() if not _is_json(texts[place].as_py())]


def no_constant(text: str) -> Any:
    """A `parse_constant` for `json.loads` that refuses NaN and infinity."""
    raise ValueError(f"{text} is no JSON")


def _is_json(text: str) -> bool:
    """Whether a text is JSON. Numbers are read as texts, because Python refuses integers with very many digits."""
    try:
        json.loads(text, parse_int=str, parse_float=str, parse_constant=no_constant)
    except ValueError:
        return False
    except RecursionError:  # another rule limits the depth
        return True
    return True

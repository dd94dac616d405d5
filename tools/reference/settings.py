"""The page of settings, from `orchestration/settings.py`."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from orchestration.settings import PREFIX, Settings
from tools.reference.markdown import code, table

_TYPES = {
    str: "text",
    SecretStr: "secret",
    tuple[SecretStr, ...]: "secret",
    Path: "path",
    date: "day",
    bool: "`true` or `false`",
    int: "whole number",
    float: "number",
}


def settings() -> str:
    rows = (
        [code(f"{PREFIX}{name}".upper()), _default(field), _type(field), field.description or ""]
        for name, field in Settings.model_fields.items()
    )
    return table(["setting", "default", "type", "meaning"], rows)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    return "none" if field.default in (None, ()) else code(str(field.default).lower())


def _type(field: FieldInfo) -> str:
    kind: Any = field.annotation
    if isinstance(kind, UnionType):  # with None
        kind = next(each for each in get_args(kind) if each is not type(None))
    if get_origin(kind) is Literal:
        return " or ".join(code(str(each)) for each in get_args(kind))
    return ", ".join([_TYPES[kind], *_limits(field)])


def _limits(field: FieldInfo) -> list[str]:
    found = []
    for each in field.metadata:
        if isinstance(each, Ge):
            found.append(f"at least {each.ge}")
        elif isinstance(each, Gt):
            found.append(f"above {each.gt}")
        elif isinstance(each, Le):
            found.append(f"at most {each.le}")
        elif isinstance(each, Lt):
            found.append(f"below {each.lt}")
    return found

"""Lets dbt do with less work what it does again for each node, with the same results: a fifth of a small day's dbt.

dbt has no settings for this. So some of its functions are replaced here, by functions that return the same.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import parsedatetime  # type: ignore
from dbt.clients.jinja import MacroGenerator
from dbt.context.base import BaseContext
from dbt.context.macro_resolver import TestMacroNamespace
from dbt.context.macros import MacroNamespace, MacroNamespaceBuilder
from dbt.context.manifest import ManifestContext
from dbt.include.global_project import PROJECT_NAME
from dbt_common.events.base_types import BaseEvent, EventLevel
from dbt_common.events.event_manager import EventManager
from dbt_common.events.event_manager_client import ctx_set_event_manager
from dbt_common.events.logger import PRINT_EVENT_NAMES

_LEVELS = [EventLevel.DEBUG, EventLevel.TEST, EventLevel.INFO, EventLevel.WARN, EventLevel.ERROR]

# As dbt has them.
_make_event: Callable[..., None] = BaseEvent.__init__
_get_of_event: Callable[[BaseEvent, str], Any] = BaseEvent.__getattr__
_set_of_event: Callable[[BaseEvent, str, Any], None] = BaseEvent.__setattr__
_builtins_and_macros: Callable[[ManifestContext], dict[str, Any]] = ManifestContext.to_dict
_builtins: Callable[[ManifestContext], dict[str, Any]] = BaseContext.to_dict


def lighten() -> None:
    """Replaces dbt's functions in this process."""
    ctx_set_event_manager(_Heard())
    BaseEvent.__init__ = _given  # type: ignore
    BaseEvent.__getattr__ = _get  # type: ignore
    BaseEvent.__setattr__ = _set  # type: ignore
    MacroGenerator.__init__ = _bound  # type: ignore
    MacroNamespaceBuilder.build_namespace = _namespace  # type: ignore
    ManifestContext.to_dict = _context  # type: ignore
    # For each result of a query agate makes its parsers of dates, which share these unchanging tables.
    parsedatetime.Constants = cache(parsedatetime.Constants)


class _Heard(EventManager):
    """Drops events that no logger shows. dbt would format each of its thousands of events before asking the loggers."""

    def fire_event(
        self,
        e: BaseEvent,
        level: EventLevel | None = None,
        node: Any = None,
        force_warn_or_error_handling: bool = False,
    ) -> None:
        shown = min((_LEVELS.index(logger.level) for logger in self.loggers), default=_LEVELS.index(EventLevel.WARN))
        wanted = min(shown, _LEVELS.index(EventLevel.WARN))  # dbt may turn warnings into errors
        is_print = type(e).__name__ in PRINT_EVENT_NAMES  # shown at any level
        if is_print or force_warn_or_error_handling or _LEVELS.index(level or e.level_tag()) >= wanted:
            super().fire_event(e, level, node, force_warn_or_error_handling)


def _given(event: BaseEvent, *args: Any, **kwargs: Any) -> None:
    """Keeps what an event is made of. Most events are dropped before anybody looks at their content."""
    event.__dict__["given"] = args, kwargs


def _make(event: BaseEvent) -> None:
    """Makes the content at the first look at it."""
    if given := event.__dict__.pop("given", None):
        args, kwargs = given
        _make_event(event, *args, **kwargs)


def _get(event: BaseEvent, key: str) -> Any:
    _make(event)
    return _get_of_event(event, key)


def _set(event: BaseEvent, key: str, value: Any) -> None:
    _make(event)
    _set_of_event(event, key, value)


def _bound(call: MacroGenerator, macro: Any, context: Any = None, node: Any = None, stack: Any = None) -> None:
    """A macro bound to what a template sees, without a call to the constructor of each class above. A run binds some
    200,000."""
    call.macro, call.context, call.node, call.stack = macro, context, node, stack


def _namespace(builder: MacroNamespaceBuilder, macros_by_package: dict[str, dict[str, Any]], context: Any) -> Any:
    """All macros bound to one context, by package. dbt sorts each of some 600 macros into its package anew."""
    node, stack = builder.node, builder.thread_ctx
    bound = {
        package: {name: MacroGenerator(macro, context, node, stack) for name, macro in macros.items()}
        for package, macros in macros_by_package.items()
    }
    internal: dict[str, Any] = {}
    for package in reversed(builder.internal_package_names_order):  # the first wins
        internal.update(bound.get(package, {}))
    packages = {name: macros for name, macros in bound.items() if name not in builder.internal_package_names}
    mine = packages.get(builder.search_package, {})
    root = packages.get(builder.root_package, {}) if builder.root_package != builder.search_package else {}
    return MacroNamespace(root, mine, internal, packages)


def _context(context: ManifestContext) -> dict[str, Any]:
    """What a template sees: dbt looks each of some 600 macros up in several dictionaries; here they are merged."""
    macros = context.namespace
    if isinstance(macros, TestMacroNamespace):
        return _builtins_and_macros(context)
    found = _builtins(context)
    found.update(merged(macros))
    return found


def merged(macros: MacroNamespace) -> dict[str, Any]:
    """The items of a namespace, in the order in which it looks for a name."""
    return {
        **macros.global_project_namespace,
        PROJECT_NAME: macros.global_project_namespace,
        **macros.packages,
        **macros.global_namespace,
        **macros.local_namespace,
    }

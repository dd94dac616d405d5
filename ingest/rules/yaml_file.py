"""A YAML file as texts with their lines.

Values stay texts: YAML 1.1 reads `no` as false, `010` as 8 and `30:00` as 1800, and a name that stands twice counts
without a word. The variable's own type decides here, and a name that stands twice is a mistake.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import yaml  # type: ignore[import-untyped]

from ingest.rules.problems import Problems

MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class Given:
    """A value of the file: a text, a list of values, or a mapping of names to values; None for an empty one."""

    value: str | list[Given] | Mapping[str, Given] | None
    where: str  # `rules.yml, line 3`


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Takes no aliases: a short file of them could stand for more values than memory holds."""

    def compose_node(self, parent: yaml.Node | None, index: object) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            alias = self.peek_event()
            raise yaml.MarkedYAMLError(
                problem=f"write out what *{alias.anchor} stands for", problem_mark=alias.start_mark
            )
        found: yaml.Node | None = super().compose_node(parent, index)
        return found


def parse(body: bytes, name: str, problems: Problems) -> Mapping[str, Given]:
    """The mapping that a file holds; an empty one if there is a mistake, which `problems` then has. A file with
    comments alone gives no rules."""
    if not body.strip():
        problems.add(name, "the file is empty. `clicklake rules --template` writes one to start from")
        return {}
    if len(body) > MOST_BYTES:
        problems.add(name, f"the file is larger than {MOST_BYTES >> 20} MiB")
        return {}
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = body[: error.start].count(b"\n") + 1
        problems.add(f"{name}, line {line}", "it is not UTF-8. Save the file as UTF-8")
        return {}
    try:
        node = yaml.compose(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(filter(None, (error.context, error.problem)))
        problems.add(f"{name}, line {mark.line + 1}" if mark else name, f"it is no YAML ({what})")
        return {}
    except yaml.YAMLError as error:
        problems.add(name, f"it is no YAML ({' '.join(str(error).split())})")
        return {}
    except RecursionError:
        problems.add(name, "its lists lie too deep within each other")
        return {}
    if node is None:
        return {}
    found = _given(node, name, problems, depth=0)
    if not isinstance(found.value, dict):
        problems.add(found.where, "the file must hold `variables:` or `sites:`, each with names below it")
        return {}
    return found.value


def _given(node: yaml.Node, name: str, problems: Problems, depth: int) -> Given:
    where = f"{name}, line {node.start_mark.line + 1}"
    if depth > 4:
        problems.add(where, "lists and names lie too deep within each other")
        return Given(None, where)
    if isinstance(node, yaml.SequenceNode):
        return Given([_given(each, name, problems, depth + 1) for each in node.value], where)
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Given] = {}
        for key, value in node.value:
            line = f"{name}, line {key.start_mark.line + 1}"
            if not isinstance(key, yaml.ScalarNode) or not key.value.strip():
                problems.add(line, "a name must be a text")
            elif key.value in found:
                problems.add(line, f"{key.value} is there already, in {found[key.value].where.partition(', ')[2]}")
            else:
                given = _given(value, name, problems, depth + 1)
                found[key.value] = Given(given.value, line)
        return Given(found, where)
    is_null = node.tag == "tag:yaml.org,2002:null"
    return Given(None if is_null else node.value.strip(), where)

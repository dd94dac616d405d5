"""Classifies user agents: a person's browser, or one of the machines in `KINDS`.

Two public lists, uap-core and crawler-user-agents, know most robots. Two lists of our own complete them. Each of their
lines was reviewed, and has a reason, an example that it matches and a counterexample that it does not:

- `agent_lists/kinds.csv`: agents that the public lists do not know, or call robots although they are of another kind.
  The first line that matches counts.
- `agent_lists/exceptions.csv`: words in people's agents that the public lists mistake for a robot's. They are removed
  before the lists are asked again. An agent with other signs of a robot stays one: a phone's build is no such sign,
  `Googlebot` is one.
"""

from __future__ import annotations

import csv
import re
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

KINDS = {
    "bot": "a robot: crawler, monitor, preview fetcher, browser with nobody before it",
    "program": "an HTTP library or a webhook: a script, or a shop's server that reports what people did",
    "mail": "a mail provider's proxy, or a mail program, that fetches pictures for a reader and follows no link",
    "app": "the bare HTTP client of apps: no browser, but on a visitor's own device",
}


_LONGEST = 1_000  # characters; exceptions concern phones and browsers, whose agents are shorter


class Line(NamedTuple):
    """A line of one of the two files; `kind` is empty for exceptions."""

    kind: str
    pattern: str
    unless: str
    reason: str
    example: str
    counterexample: str
    source: str


def read_lines(name: str) -> list[Line]:
    """The lines of `kinds.csv` or `exceptions.csv`."""
    text = files("ingest").joinpath("rows", "agent_lists", name).read_text("utf-8")
    return [Line(**{"kind": "", **row}) for row in csv.DictReader(text.splitlines())]


def matches(line: Line, agent: str) -> bool:
    """Whether a line matches an agent."""
    return re.search(line.pattern, agent) is not None and not (line.unless and re.search(line.unless, agent))


def kind_of(agent: str, device: str | None = None) -> str | None:
    """One of `KINDS`, or None for a browser and for an agent that nothing is known about.

    Args:
        agent: the user agent.
        device: its device family by uap-core, if the caller knows it; "" for none.
    """
    own, crawlers = _matchers()
    first = own.extract(agent)
    if first is not None:
        for line in _own_kinds()[int(first.family) :]:
            if matches(line, agent):
                return line.kind
    if _is_listed(agent, crawlers, device):
        innocent = without_exceptions(agent)
        if innocent == agent or _is_listed(innocent, crawlers):
            return "bot"
    return None


def _is_listed(agent: str, crawlers: Any, device: str | None = None) -> bool:
    from ua_parser import parse_device

    if crawlers.extract(agent) is not None:
        return True
    if device is None:
        found = parse_device(agent)
        device = found.family if found else ""
    return device == "Spider"


def without_exceptions(agent: str) -> str:
    """An agent without the words that the public lists mistake for a robot's."""
    if len(agent) > _LONGEST:
        return agent
    for line in _exceptions():
        if not line.unless or not re.search(line.unless, agent):
            agent = re.sub(line.pattern, lambda found: "".join(group or "" for group in found.groups()), agent)
    return agent


@cache
def _own_kinds() -> list[Line]:
    return read_lines("kinds.csv")


@cache
def _exceptions() -> list[Line]:
    return read_lines("exceptions.csv")


@cache
def _matchers() -> tuple[Any, Any]:
    """Our own lines and crawler-user-agents as prefiltered matchers: 2 µs an agent, instead of 300 in a loop."""
    import json

    from ua_parser_rs import UserAgentExtractor

    crawlers = json.loads(files("crawleruseragents").joinpath("crawler-user-agents.json").read_text("utf-8"))
    own = [(line.pattern, str(place), None, None, None, None) for place, line in enumerate(_own_kinds())]
    listed = [(entry["pattern"], "bot", None, None, None, None) for entry in crawlers]
    return UserAgentExtractor(own), UserAgentExtractor(listed)

"""What kind of client a user agent is of: a person's browser, or one of the machines named in `KINDS`.

Two public lists know most robots: uap-core, and crawler-user-agents. Beside them stand our own two, reviewed line by
line, each with its reason, an example that it is about and one that it is not:

- `agent_lists/kinds.csv`: what the lists do not know, or call a robot though it is another kind. The first line that
  is about an agent counts.
- `agent_lists/exceptions.csv`: words in the agents of people that the lists take for a robot's. They are taken out
  before the lists look, so that a robot stays one by whatever else it says: a phone's build is no sign, `Googlebot`
  is one.
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


_LONGEST = 1_000  # characters; the exceptions are about phones and browsers, whose agents are shorter


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
    """Whether a line is about an agent."""
    return re.search(line.pattern, agent) is not None and not (line.unless and re.search(line.unless, agent))


def kind_of(agent: str, device: str | None = None) -> str | None:
    """One of `KINDS`, or None for a browser and for whatever nothing is known about.

    Args:
        agent: the user agent.
        device: its device family by uap-core, where the caller knows it; "" for none.
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
    """An agent without the words of people that the lists take for a robot's."""
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
    """Our lines and crawler-user-agents as prefiltered matchers: 2 µs an agent, where a loop takes 300."""
    import json

    from ua_parser_rs import UserAgentExtractor

    crawlers = json.loads(files("crawleruseragents").joinpath("crawler-user-agents.json").read_text("utf-8"))
    own = [(line.pattern, str(place), None, None, None, None) for place, line in enumerate(_own_kinds())]
    listed = [(entry["pattern"], "bot", None, None, None, None) for entry in crawlers]
    return UserAgentExtractor(own), UserAgentExtractor(listed)

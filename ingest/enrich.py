"""What a user agent and an address tell, looked up once for each distinct value."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterable
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

log = logging.getLogger(__name__)

CACHE_SIZE = 150_000  # values; 300 bytes each where they are addresses

Result = TypeVar("Result")


class Remembered(Generic[Result]):
    """A function of a text, never None, that is worked out once for each value.

    Holds two generations of `CACHE_SIZE` values at most; a full one becomes the old one, and what is
    asked for again moves back to the young one.
    """

    def __init__(self, function: Callable[[str], Result]) -> None:
        self._function = function
        self._young: dict[str, Result] = {}
        self._old: dict[str, Result] = {}

    def __call__(self, values: Iterable[str]) -> list[Result]:
        if len(self._young) > CACHE_SIZE:
            self._old, self._young = self._young, {}
        values = list(values)
        found = list(map(self._young.get, values))  # at the speed of C; most are known
        if None in found:
            for position, value in enumerate(values):
                if found[position] is None:
                    found[position] = self._look_up(value)
        return found  # type: ignore[return-value]

    def _look_up(self, value: str) -> Result:
        result = self._young.get(value)
        if result is None:
            result = self._old[value] if value in self._old else self._function(value)
            self._young[value] = result
        return result


class UserAgent(NamedTuple):
    device_category: str
    browser_family: str | None
    os_family: str | None
    is_bot: bool


class Place(NamedTuple):
    country: str | None
    region: str | None
    city: str | None


NOWHERE = Place(None, None, None)
_PLACE_DATABASES = ("City", "Country", "Enterprise", "Location")

_MOBILE_SYSTEMS = {"iOS", "Android", "Windows Phone", "Windows Mobile", "BlackBerry OS", "KaiOS", "HarmonyOS"}
_DESKTOP_SYSTEMS = {"Windows", "Mac OS X", "Linux", "Ubuntu", "Chrome OS", "Fedora", "FreeBSD", "Debian", "Mac OS"}
_TV_WORDS = (
    "smart-tv",
    "smarttv",
    "appletv",
    "apple tv",
    "googletv",
    "hbbtv",
    "crkey",
    "roku",
    "aftt",
    "bravia",
    "netcast",
)
_TABLET_WORDS = ("ipad", "tablet", "kindle", "silk/", "playbook")


@cache
def _crawlers() -> Any:
    """The crawler-user-agents list as one prefiltered matcher: 2 µs a value, where its own takes 300."""
    from ua_parser_rs import UserAgentExtractor

    patterns = json.loads(files("crawleruseragents").joinpath("crawler-user-agents.json").read_text("utf-8"))
    return UserAgentExtractor([(entry["pattern"], "bot", None, None, None, None) for entry in patterns])


def parse_user_agent(user_agent: str) -> UserAgent:
    """Device, browser, system and whether it is a robot, by uap-core and the crawler-user-agents list."""
    from ua_parser import parse

    found = parse(user_agent[:2048])
    browser = found.user_agent.family if found.user_agent else None
    system = found.os.family if found.os else None
    device = found.device.family if found.device else None
    is_bot = device == "Spider" or _crawlers().extract(user_agent[:2048]) is not None
    return UserAgent("bot" if is_bot else _category(user_agent.lower(), system), browser, system, is_bot)


def _category(lowered: str, system: str | None) -> str:
    if any(word in lowered for word in _TV_WORDS):
        return "tv"
    if any(word in lowered for word in _TABLET_WORDS) or (system == "Android" and "mobile" not in lowered):
        return "tablet"
    if system in _MOBILE_SYSTEMS or "mobile" in lowered:
        return "mobile"
    return "desktop" if system in _DESKTOP_SYSTEMS else "other"


class Geo:
    """Country, region and city of an address, from an optional MaxMind City or Country database.

    A database that is missing, broken or of another kind costs one warning; what it does not tell is null.
    """

    def __init__(self, database: Path | None) -> None:
        self._reader: Any = None
        self._database = database
        self._warning = threading.Lock()  # whoever takes it warns; nobody gives it back
        if database is None:
            return
        import maxminddb

        try:
            self._reader = maxminddb.open_database(database)
        except (OSError, ValueError, maxminddb.InvalidDatabaseError) as error:
            self._warn(str(error))
            return
        kind = self._reader.metadata().database_type
        if not any(word in kind for word in _PLACE_DATABASES):
            self._warn(f"its type is {kind!r}, not City or Country")

    def _warn(self, reason: str) -> None:
        if self._warning.acquire(blocking=False):
            log.warning(
                "geo database %s does not give all places (%s): country, region and city are null there",
                self._database,
                reason,
            )

    @property
    def is_open(self) -> bool:
        return self._reader is not None

    def look_up(self, address: str) -> Place:
        if self._reader is None:
            return NOWHERE
        try:
            return _place(self._reader.get(address))
        except ValueError:
            return NOWHERE  # an IPv6 address in a database of IPv4
        except Exception as error:  # a database that is broken in the middle raises several kinds
            self._warn(str(error))
            return NOWHERE


def _place(record: Any) -> Place:
    if not isinstance(record, dict):
        return NOWHERE
    subdivisions = record.get("subdivisions") or [{}]
    return Place(
        (record.get("country") or {}).get("iso_code"),
        subdivisions[0].get("iso_code"),
        ((record.get("city") or {}).get("names") or {}).get("en"),
    )

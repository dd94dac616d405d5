"""Looks up user agents and addresses, once for each distinct value."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from ingest.rows.agents import kind_of, without_exceptions

log = logging.getLogger(__name__)

CACHE_SIZE = 150_000  # values

Result = TypeVar("Result")


class Remembered(Generic[Result]):
    """Caches a function of a text that never returns None.

    Holds two generations of at most `size` values, `CACHE_SIZE` unless another is given. When the young one is full, it
    becomes the old one; values that are used again move back to the young one.
    """

    def __init__(self, function: Callable[[str], Result], size: int | None = None) -> None:
        self._function = function
        self._size = CACHE_SIZE if size is None else size
        self._young: dict[str, Result] = {}
        self._old: dict[str, Result] = {}

    def __call__(self, values: Iterable[str]) -> list[Result]:
        if len(self._young) > self._size:
            self._old, self._young = self._young, {}
        values = list(values)
        found = list(map(self._young.get, values))  # runs in C; most values are known
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

# Words of agents in small letters, by the device that they name; the first group with a match counts. Some names mean
# several kinds (Windows on a tablet PC, Android on everything), so more specific groups come first.
_DEVICES = (
    # Consoles count as televisions, hand-held ones as phones; headsets are neither.
    ("other", r"oculusbrowser|quest \d|picobrowser|applevision|visionos|wolvic"),
    (
        "mobile",
        r"windows phone|wpdesktop|zunewp|iemobile|nintendo (?:3ds|ds|switch)|playstation (?:vita|portable)|\bpsp\b",
    ),
    (
        "tv",
        r"smart-?tv|apple ?tv|google ?tv|android ?tv|hbbtv|\bcrkey\b|chromecast|\broku|bravia|netcast|web0s"
        r"|webos\.tv|\baft[a-z]{1,9}\d*(?: build|[);])|tizen[^)]*\btv\b|linux/smarttv|philipstv|viera|vidaa|dtv\b"
        r"|ce-html|opera tv|mibox|mitv|shield android|\btv safari|large screen|xbox|playstation|nintendo wii|\bstb\b"
        r"|pov_tv|tvos",
    ),
    ("desktop", r"windows nt|windows 9[58]|win9[58]|win32|win64|\bcros\b|macintosh"),
    (
        "tablet",
        r"ipad|tablet|kindle|silk/|playbook|touchpad|\bkf[a-z]{3,5}\b|nexus (?:7|9|10)\b|pixel (?:tablet|c)\b|xoom"
        r"|mediapad|matepad|(?:galaxy|mi|redmi|lenovo|oneplus|realme|honor|nokia|oppo|vivo) ?(?:tab|pad)\b"
        r"|\bsm-[tx]\d{3}"
        r"|\bgt-p\d{4}|\bgt-n(?:51|80)\d\d|\bsch-i(?:800|905)|transformer|iconia|thinkpad|ideatab|yoga tab"
        r"|\btb-?\d{4}|\blg-v\d{3}",
    ),
    (
        "mobile",
        r"mobile|iphone|ipod|dalvik|symb(?:ian|os)|series ?[46]0|\bs60\b|midp|j2me|cldc|up\.(?:browser|link)|blackberry"
        r"|\bbb10|kaios|windows ce|palm|webos/|opera mini|opera mobi|docomo|kddi|softbank|vodafone|maemo|meego|\bbada\b"
        r"|\bbrew\b"
        r"|nokia|sonyericsson|motorola|samsung-[sg]|obigo|netfront|teleca|ucweb|android_|okhttp|dart:io|\bios\b"
        r"|cfnetwork",
    ),
    ("tablet", r"^mozilla/.*android"),  # a phone's browser says `Mobile`; its apps do not
    ("mobile", r"android|harmonyos"),
    ("desktop", r"\bx11\b|linux|bsd\b|sunos|mac os x|mac_powerpc|windows|amiga|os/2|beos|haiku|darwin"),
)


@cache
def _devices() -> Any:
    """The words as one prefiltered matcher: 3 µs an agent, instead of 90 one after the other."""
    from ua_parser_rs import UserAgentExtractor

    return UserAgentExtractor([(words, device, None, None, None, None) for device, words in _DEVICES])


def parse_user_agent(user_agent: str) -> UserAgent:
    """Device, browser, system, and whether it is a machine; `agents.py` classifies machines."""
    from ua_parser import parse

    agent = user_agent[:2048]
    found = parse(agent)
    browser = found.user_agent.family if found.user_agent else None
    system = found.os.family if found.os else None
    kind = kind_of(agent, found.device.family if found.device else "")
    if kind is None and browser and browser.lower().endswith("bot"):  # a phone has such a name
        innocent = parse(without_exceptions(agent)).user_agent
        browser = innocent.family if innocent else None
    category = _category(agent.lower(), system) if kind is None or kind == "app" else kind
    return UserAgent(category, browser, system, kind is not None)


def _category(lowered: str, system: str | None) -> str:
    if system in ("iOS", "Mac OS X") and "mozilla" not in lowered:
        return "mobile" if system == "iOS" else "desktop"  # `App/1 CFNetwork/… Darwin/…`: uap-core knows which
    found = _devices().extract(lowered)
    return found.family if found else "other"


class Geo:
    """Looks up country, region and city of an address in an optional MaxMind City or Country database.

    If the database is missing, broken or of another kind, it logs one warning; unknown values are null.
    """

    def __init__(self, database: Path | None) -> None:
        self._reader: Any = None
        self._database = database
        self._warning = threading.Lock()  # the thread that takes it warns; it is never released
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
        except Exception as error:  # a damaged database raises several kinds of errors
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

"""The variables of rules: what there is, its default, and what is allowed. The only place where they are defined.

A number has its unit in its name: `session_timeout_seconds: 1800`. A text carries its own, with or without the unit in
the name: `session_timeout: 30m`. A rules file gives only what differs from the defaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ingest.rules.problems import Problems, hint
from ingest.rules.values import UNITS, boolean, event_type, in_unit, in_words, number, whole
from ingest.rules.yaml_file import Given

DAY = 86_400
RESTATED_DAYS = 30  # `after` of the models that restate: a late day changes no day beyond these
MOST_LISTED = 100
Value = bool | int | float | str | list[str]


@dataclass(frozen=True)
class Variable:
    """default: its type is the variable's: true or false, a whole number, a number, a text, or a list of texts.

    least, most: of numbers, both included. why_most: the reason for `most`, where the value itself does not tell it.
    choices: of a text. is_event_types: a list of event types, which take the form that events have.
    """

    name: str
    subject: str
    default: Value
    about: str
    least: float = 0
    most: float = 1_000_000
    why_most: str = ""
    choices: tuple[str, ...] = ()
    is_event_types: bool = False
    least_listed: int = 0

    @property
    def unit(self) -> str | None:
        """seconds, hours, days or weeks, for numbers whose name ends so."""
        end = self.name.rpartition("_")[2]
        is_whole = isinstance(self.default, int) and not isinstance(self.default, bool)
        return end if is_whole and end in UNITS else None

    @property
    def unitless(self) -> str | None:
        """The name under which a text with a unit is given too; None if that would be another variable's meaning."""
        return self.name.removesuffix(f"_{self.unit}") if self.unit and self.name not in _COUNTS else None

    @property
    def allowed(self) -> str:
        """What is allowed, in words."""
        if self.choices:
            return " or ".join(self.choices)
        if isinstance(self.default, bool):
            return "true or false"
        if isinstance(self.default, list):
            least = f"{self.least_listed} to " if self.least_listed else "up to "
            return f"a list of {least}{MOST_LISTED} texts"
        return f"{_shown(self.least)} to {_shown(self.most)}"

    def value(self, given: Given) -> Value:
        """The value that a file gives.

        Raises:
            ValueError: it is not of the variable's type, or not allowed; the message goes on after the variable's name.
        """
        if isinstance(self.default, list):
            return self._listed(given)
        if not isinstance(given.value, str):
            raise ValueError(f"must be one value: {self.allowed}")
        text = given.value
        try:
            if isinstance(self.default, bool):
                return boolean(text)
            if isinstance(self.default, str):
                return self._chosen(text)
            found = in_unit(text, self.unit) if self.unit else self._number(text)
        except ValueError as error:
            raise ValueError(f"is {text!r}, and {error}") from None
        if not self.least <= found <= self.most:
            why = f": {self.why_most}" if found > self.most and self.why_most else ""
            raise ValueError(f"is {text}, and must be {self.allowed}{self._as_duration}{why}")
        return found

    def _number(self, text: str) -> float:
        return whole(text) if isinstance(self.default, int) else number(text)

    def _chosen(self, text: str) -> str:
        if text not in self.choices:
            raise ValueError(f"must be {self.allowed}")
        return text

    def _listed(self, given: Given) -> list[str]:
        if not isinstance(given.value, list):
            raise ValueError("must be a list of texts, such as [a, b]; [] is an empty one")
        texts = [each.value if isinstance(each.value, str) else "" for each in given.value]
        for place, text in enumerate(texts, start=1):
            if not (event_type(text) if self.is_event_types else text):
                what = f"is {text!r}, of which no event type is left" if text else "is empty, or no text"
                raise ValueError(f"must be a list of texts, such as [a, b], and entry {place} {what}")
        found = list(dict.fromkeys(map(event_type, texts) if self.is_event_types else texts))
        if not self.least_listed <= len(found) <= MOST_LISTED:
            raise ValueError(f"has {len(texts)} entries, and must be {self.allowed}")
        return found

    @property
    def _as_duration(self) -> str:
        return f" ({in_words(int(self.most))} at most)" if self.unit == "seconds" and self.most >= 120 else ""


def _shown(limit: float) -> str:
    return str(int(limit)) if limit == int(limit) else str(limit)


_COUNTS = {"trend_min_weekdays", "trend_min_days", "household_min_days"}  # numbers of days, not a time
_REACH = f"a late day restates the {RESTATED_DAYS} days after it, and further ahead a mart would keep what it was"
_SESSION = "a session covers two days at most, so that a day can be built from those around it"
_WINDOW = (RESTATED_DAYS - 1) * DAY  # the day of a touch is that of its session, which may begin a day earlier

VARIABLES = (
    # Each rule of validity looks at a single day, so that a day gets the same result alone and within a range.
    Variable(
        "ivt_invalid_status_from",
        "validity",
        400,
        "Status from which a request did not deliver its ad or its landing page: 4xx and 5xx. A hang-up (000, stored "
        "as 0) was logged after the edge had begun to answer: it counts",
        least=100,
        most=600,
    ),
    Variable(
        "ivt_repeat_click_seconds",
        "validity",
        10,
        "A second click of an address on an ad within this time repeats the first: an impatient double click, a reload "
        "of the landing page, a retry of the browser. Ten seconds cover a slow landing page; a later click is a new "
        "one. 0 joins only clicks of the same second",
        most=3_600,
    ),
    Variable(
        "ivt_click_flood_clicks",
        "validity",
        10,
        "More clicks of one address than this, within `ivt_click_flood_seconds`, are a flood: link scanners of mail "
        "servers, scripts. An office behind one address stays below 10 clicks a minute on a campaign",
        least=1,
    ),
    Variable("ivt_click_flood_seconds", "validity", 60, "The time in which a flood's clicks are counted", 1, DAY),
    Variable(
        "ivt_click_without_impression_channels",
        "validity",
        ["website"],
        "Channels in which a click must have an impression of its address on the same day. Only where the reader's own "
        "browser loads the pixel: mail programs load it through a proxy, or not at all, so that a newsletter's honest "
        "clicks have no impression of their address. An empty list switches the rule off",
    ),
    Variable(
        "ivt_click_without_impression_grace_seconds",
        "validity",
        3_600,
        "The first seconds of a day that are not judged, because the impression may lie in the day before. An hour is "
        "longer than anybody looks at a page, and loses 1/24 of the clicks that the rule would find",
        most=DAY,
    ),
    Variable(
        "session_by",
        "sessions",
        "timeout",
        "`timeout`: a visitor's session ends with a pause. `client`: events with one client session id are one "
        "session, even with other events between them; events without an id are cut by the timeout",
        choices=("timeout", "client"),
    ),
    Variable(
        "session_timeout_seconds",
        "sessions",
        1_800,
        "The longest pause within a session: half an hour, as usual in web analytics; a pause of exactly this time "
        "continues it",
        1,
        DAY,
        _SESSION,
    ),
    Variable(
        "session_return_seconds",
        "sessions",
        7_200,
        "The longest pause before an event that comes back from a passage (table passages): from paying, or from "
        "logging in",
        0,
        DAY,
        _SESSION,
    ),
    Variable(
        "session_client_timeout_seconds",
        "sessions",
        DAY,
        "The longest pause within a client session: an id that comes back a day later was never renewed",
        1,
        DAY,
        _SESSION,
    ),
    Variable(
        "session_split_on_campaign",
        "sessions",
        False,
        "Whether another campaign than the one in effect begins a new session",
    ),
    Variable(
        "session_cap_hours",
        "sessions",
        0,
        "A session is also cut this many hours after it began; 0 for never",
        most=48,
        why_most=_SESSION,
    ),
    Variable(
        "session_engaged_seconds",
        "sessions",
        10,
        "A session is engaged when it lasts longer than this, has two page views, or a conversion",
        most=DAY,
    ),
    Variable(
        "visitor_history_days",
        "sessions",
        30,
        "Look-back window of session_sequence and is_new_visitor",
        0,
        RESTATED_DAYS,
        _REACH,
    ),
    Variable(
        "page_view_event_types",
        "sessions",
        ["page_view"],
        "Event types that count as page views",
        is_event_types=True,
        least_listed=1,
    ),
    Variable(
        "transaction_days",
        "sessions",
        29,
        "A conversion that names a transaction of up to so many days before is a copy: a page of thanks that is looked "
        "at again weeks later",
        0,
        RESTATED_DAYS - 1,
        _REACH,
    ),
    Variable(
        "refund_days",
        "sessions",
        29,
        "A refund takes back a conversion of up to so many days before, the usual time in which goods can be returned",
        0,
        RESTATED_DAYS - 1,
        _REACH,
    ),
    Variable(
        "ad_click_session_seconds",
        "sessions",
        300,
        "Longest time from a click on an ad to the session that it led to: five minutes cover a slow page and a "
        "question about cookies",
        0,
        DAY,
        "a session's clicks are read from its own day and the day before",
    ),
    Variable(
        "identity_max_visitors_per_fingerprint",
        "identity",
        10,
        "A fingerprint in a network that more visitors share than this joins nobody: a school's tablets, one phone "
        "model behind a carrier's gateway. A browser that forgets its cookies each week makes ten visitors of one "
        "person in a season",
        least=1,
    ),
    Variable(
        "identity_max_neighbours",
        "identity",
        200,
        "The same limit for any other id and its neighbours of one type: a kiosk, or a tracker that sends the same id "
        "for all. Even a reader with three devices who loses cookies every week stays below it for a year",
        least=1,
    ),
    Variable(
        "identity_merge_users",
        "identity",
        False,
        "Whether two users who log in on one device are one person. Usually they are a family",
    ),
    Variable(
        "identity_user_confidence",
        "identity",
        1.0,
        "Confidence of an edge to a user id: how sure it is that the two ids are one person",
        most=1,
    ),
    Variable("identity_device_confidence", "identity", 0.95, "Confidence of an edge to a device's id", most=1),
    Variable("identity_fingerprint_confidence", "identity", 0.87, "Confidence of an edge to a fingerprint", most=1),
    Variable(
        "household_min_days",
        "identity",
        2,
        "A household is a group of identities, each seen in one network on at least this many days",
        1,
        366,
    ),
    Variable("household_max_identities", "identity", 8, "A household has no more identities than this", 2, 1_000),
    Variable(
        "retention_days", "retention", 30, "Days for which a cohort of a day is followed", 0, RESTATED_DAYS, _REACH
    ),
    Variable(
        "retention_weeks",
        "retention",
        12,
        "Weeks for which a cohort of a week is followed. Rows more than 30 days after a late day keep what they were",
        most=53,
    ),
    Variable(
        "funnel_max_days",
        "funnels",
        1,
        "No funnel may last longer than so many days, since for so long a day's numbers are not final: each run builds "
        "them again, and whose events they are",
        1,
        7,
        "a run that restates the 30 days after its own reads events of 38 days",
    ),
    Variable(
        "trend_min_impressions",
        "trends",
        1_000,
        "A weekday with fewer valid impressions has no click rate: one click would move it by a tenth of a percent",
        1,
        1_000_000_000,
    ),
    Variable(
        "trend_min_weekdays",
        "trends",
        2,
        "So many of the four same weekdays before are needed for a usual click rate: one day may be an exception",
        1,
        4,
    ),
    Variable(
        "trend_min_days",
        "trends",
        4,
        "So many of the seven days before are needed for usual impressions",
        1,
        7,
    ),
    Variable(
        "attribution_grain",
        "attribution",
        "session",
        "`session`: a visit is one touch. `event`: each event of it that brings a source is one",
        choices=("session", "event"),
    ),
    Variable(
        "attribution_click_seconds",
        "attribution",
        7 * DAY,
        "Look-back window of a click, or a visit with a source: a week, as ad networks have it by default",
        0,
        _WINDOW,
        _REACH,
    ),
    Variable(
        "attribution_impression_seconds",
        "attribution",
        DAY,
        "Look-back window of an impression, if there is no click: people who come later than a day come for another "
        "reason",
        0,
        _WINDOW,
        _REACH,
    ),
    Variable(
        "attribution_install_seconds",
        "attribution",
        2 * DAY,
        "Longest time from a click to an install matched by fingerprint and network alone: the longer, the more "
        "neighbours with the same phone match",
        0,
        _WINDOW,
        _REACH,
    ),
    Variable(
        "attribution_half_life_seconds",
        "attribution",
        7 * DAY,
        "In time decay, a touch so much older than another has half its share: a week is the whole window, so that its "
        "oldest touch counts half as much as its last",
        1,
        366 * DAY,
    ),
    Variable(
        "attribution_include_direct",
        "attribution",
        False,
        "Whether visits without a source are touches. They say that somebody knew the address, not who told them",
    ),
    Variable(
        "attribution_channel_priority",
        "attribution",
        [],
        "Among touches at the same moment, those of the listed channels come first, in this order",
    ),
    Variable(
        "attribution_max_touches",
        "attribution",
        100,
        "Largest number of touches that share a conversion: the first and the latest. Nobody is won by the hundredth "
        "ad, and a path with more touches is a robot's or a shared id's",
        2,
        10_000,
    ),
    Variable(
        "attribution_reattribution_seconds",
        "attribution",
        _WINDOW,
        "A conversion of a person known before goes to retargeting alone if a retargeting touch lies within this time: "
        "retargeting is made for people who stayed away for weeks",
        0,
        _WINDOW,
        _REACH,
    ),
    Variable(
        "attribution_max_identities_per_address",
        "attribution",
        1,
        "Ads know no visitor. A touch of an ad goes to the people who recently visited with the same address and user "
        "agent, unless they are more than this number, as in an office",
        least=1,
    ),
    Variable(
        "attribution_across_sites",
        "attribution",
        False,
        "Whether a visit to one site has a part in conversions on another. Sites are usually businesses of their own",
    ),
)
BY_NAME = {each.name: each for each in VARIABLES}
DEFAULTS: Mapping[str, Value] = {each.name: each.default for each in VARIABLES}
_UNITLESS = {each.unitless: each for each in VARIABLES if each.unitless}
# Variables of earlier versions → what to do about them.
GONE = {
    "identity_known_at": "is no variable any more. Numbers of a day take identities as known at its end; identity_map "
    "has them as known now. Remove the line",
}


def read(given: Mapping[str, Given], problems: Problems) -> tuple[dict[str, Value], dict[str, str]]:
    """All values, the given ones and the defaults, and where each given one stands: variable → `rules.yml, line 3`."""
    values: dict[str, Value] = dict(DEFAULTS)
    origins: dict[str, str] = {}
    for name, each in given.items():
        variable = BY_NAME.get(name) or _UNITLESS.get(name)
        if variable is None:
            problems.add(each.where, f"{name} {GONE.get(name) or 'is no variable. ' + hint(name, BY_NAME)}")
        elif variable.name in origins:
            other = next(each for each in (variable.name, variable.unitless) if each and each != name)
            problems.add(
                each.where, f"{name} and {other} ({origins[variable.name]}) are one variable. Keep one of them"
            )
        else:
            origins[variable.name] = each.where
            try:
                if name != variable.name and isinstance(each.value, str) and not each.value[-1:].isalpha():
                    raise ValueError(f"has no unit. Write {variable.name}: {each.value}, or a unit after the number")
                values[variable.name] = variable.value(each)
            except ValueError as error:
                problems.add(each.where, f"{name} {error}")
    _compare(values, origins, problems)
    return values, origins


def _compare(values: Mapping[str, Any], origins: Mapping[str, str], problems: Problems) -> None:
    """Finds values that cannot go together."""

    def wrong(name: str, other: str, what: str) -> None:
        where = origins.get(name) or origins.get(other)
        if where:  # the defaults go together
            problems.add(where, f"{name} is {values[name]}, and {other} is {values[other]}: {what}")

    if (
        values["session_by"] == "client"
        and values["session_client_timeout_seconds"] < values["session_timeout_seconds"]
    ):
        wrong(
            "session_client_timeout_seconds",
            "session_timeout_seconds",
            "a client session would end sooner than one without an id. Set the first to the second at least",
        )
    cap = values["session_cap_hours"]
    if cap and cap * 3_600 < values["session_timeout_seconds"]:
        wrong(
            "session_cap_hours",
            "session_timeout_seconds",
            "a session would be cut before its longest pause is over. Set the cap to 0, or higher",
        )

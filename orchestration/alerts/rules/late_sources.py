"""`source_missing` and `source_late`: closed days without objects, and sources that have fallen silent.

**`source_missing`.** A day is closed once its scheduled build is due, at 06:00 UTC on the next day. Every closed day of
a dataset is expected if any day of the four weeks before it was delivered, because a whole source that is silent for a
day is broken. If none was, such as while a month of last year is backfilled, the dataset is not live and nothing is
expected of it. A day of a site is expected if the site delivered on the same weekday a week before and on at least 4 of
the 7 days before. So a site that rests on Sundays is not missed on Sundays, a site that came once is not missed at all,
and a site that has been silent for a week counts as closed. If a whole dataset is missing, its sites are not named. A
run of a day without objects opens no other alert, and a day that was published as a quiet one opens none. A published
day of which objects have vanished opens only `refused`.

**`source_late`.** The age of the newest object of yesterday and today, by its arrival; for a site only if today is one
of its usual days. 12 hours are longer than a quiet night and shorter than the 30 hours until the day closes. Set fewer
hours if files arrive all day long.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from ingest.days import day_text
from ingest.lake.files import Lake
from ingest.lake.layout import NO_SITE, ledger_folder, partition_of, quarantine_folder
from ingest.partition.datasets import DATASETS, Dataset
from ingest.source import Source, SourceObject
from orchestration.alerts.alert import ERROR, WARNING, Alert, name
from orchestration.alerts.rule import WEEK, Kind, Look, Rule, back
from orchestration.resources import sources_of
from orchestration.settings import Settings

SOURCE_MISSING, SOURCE_LATE = "source_missing", "source_late"
LIVE_DAYS = 28  # a dataset without any delivery in these days has ended, or is a backfill of old days
USUAL_DAYS = 4  # of the week before


def late_sources(look: Look) -> list[Alert]:
    """Alerts for closed days without objects, and for sources whose newest object is old."""
    found: list[Alert] = []
    for dataset, source in sources_of(look.settings).items():
        arrivals = _arrivals(look, DATASETS[dataset], source)
        found += [_missing(dataset, *each) for each in arrivals.missing(look.settings, look.last_closed)]
        found += arrivals.late(look.settings, look.now)
    return found


@dataclass
class _Arrivals:
    """The deliveries of a dataset's source.

    delivered: (site, day), and (None, day) for the dataset as a whole.
    recent: the objects of yesterday and today.
    """

    dataset: str
    delivered: set[tuple[str | None, dt.date]]
    recent: list[SourceObject]

    def is_usual(self, site: str | None, day: dt.date) -> bool:
        """Whether a delivery is expected on this day. A dataset needs one in the four weeks before: a backfill of old
        days is not live. A site needs one a week before, and on `USUAL_DAYS` days of the week before."""
        if site is None:
            return any((None, back(day, days)) in self.delivered for days in range(1, LIVE_DAYS + 1))
        of_week = sum((site, back(day, days)) in self.delivered for days in range(1, WEEK + 1))
        return (site, back(day, WEEK)) in self.delivered and of_week >= USUAL_DAYS

    def missing(self, settings: Settings, last_closed: dt.date) -> list[tuple[str | None, dt.date]]:
        """(site, day), or (None, day) for the dataset as a whole, that should have been delivered and was not."""
        return [
            (site, day)
            for day in _closed_days(settings, last_closed)
            for site in self.subjects()
            if self.is_usual(site, day)
            and (site, day) not in self.delivered
            and (site is None or (None, day) in self.delivered)  # else the alert of the dataset covers it
        ]

    def subjects(self) -> list[str | None]:
        sites = {site for site, _ in self.delivered if site is not None}
        return [None, *sorted(sites)]

    def late(self, settings: Settings, now: dt.datetime) -> list[Alert]:
        found = []
        for site in self.subjects():
            age = self._age(site, now)
            if age is not None and age > dt.timedelta(hours=settings.alert_late_hours):
                found.append(_late(self.dataset, site, age))
                if site is None:
                    break  # all its sites are late too
        return found

    def _age(self, site: str | None, now: dt.datetime) -> dt.timedelta | None:
        """Time since the newest object, or since the start of the day that should have one; None if none is due."""
        today, yesterday = now.date(), now.date() - dt.timedelta(days=1)
        if not self.is_usual(site, today):
            return None
        begun = yesterday if self.is_usual(site, yesterday) else today
        since = dt.datetime.combine(begun, dt.time(), dt.UTC)
        newest = [each.modified for each in self.recent if site is None or each.site == site]
        return now - max([since, *newest])


def _arrivals(look: Look, dataset: Dataset, source: Source) -> _Arrivals:
    """The deliveries by the ledger. The source is listed only for recent days and for days that the ledger lacks."""
    arrivals = _Arrivals(dataset.name, _taken(look.lake, dataset), [])
    lacking = {day for _, day in arrivals.missing(look.settings, look.last_closed)}
    recent = {look.now.date(), back(look.now.date(), 1)}
    for item in source.objects(sorted(lacking | recent)):
        arrivals.delivered |= {(None, item.day)} | ({(item.site, item.day)} if dataset.by_site else set())
        arrivals.recent += [item] if item.day in recent else []
    return arrivals


def _taken(lake: Lake, dataset: Dataset) -> set[tuple[str | None, dt.date]]:
    """(site, day) that was ingested or refused; refused ones have an alert already."""
    files = [*lake.files(ledger_folder(dataset.name)), *lake.files(quarantine_folder(dataset.name))]
    judged = {each for file in files if (each := partition_of(file.key))}
    of_sites = {(each.site, each.day) for each in judged if each.site != NO_SITE}
    return {(None, each.day) for each in judged} | of_sites


def _closed_days(settings: Settings, last_closed: dt.date) -> list[dt.date]:
    days = [last_closed - dt.timedelta(days=number) for number in range(settings.sensor_lookback_days)]
    return [day for day in reversed(days) if day >= settings.first_day]


def _missing(dataset: str, site: str | None, day: dt.date) -> Alert:
    subject = f"{dataset}/{name(site)}" if site else dataset
    of_whom = f"of {name(site)}, which usually delivers on this weekday" if site else "of this day"
    return Alert(
        kind=SOURCE_MISSING,
        subject=subject,
        day=day_text(day),
        title=f"{subject} {day}: no objects",
        text=f"The source has no object {of_whom}. Were the files delivered?",
        severity=WARNING if site else ERROR,
        command=f"clicklake status --from {day} --to {day}",
    )


def _late(dataset: str, site: str | None, age: dt.timedelta) -> Alert:
    subject = f"{dataset}/{name(site)}" if site else dataset
    hours = age.total_seconds() // 3600
    return Alert(
        kind=SOURCE_LATE,
        subject=subject,
        title=f"{subject}: nothing new",
        text=f"No object has arrived for {hours:.0f} hours or more. Are the files still delivered?",
        severity=WARNING if site else ERROR,
        command="clicklake status",
    )


OF_A_SITE = "error; of a site a warning"
RULE = Rule(
    "sources",
    (
        Kind(SOURCE_LATE, OF_A_SITE, "nothing new for `CLICKLAKE_ALERT_LATE_HOURS`", "something new arrived"),
        Kind(
            SOURCE_MISSING,
            OF_A_SITE,
            "a closed day has no objects",
            "objects are there, or after `CLICKLAKE_SENSOR_LOOKBACK_DAYS` days",
        ),
    ),
    late_sources,
)

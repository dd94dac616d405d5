"""Alerts that the sources and the lake tell of: refused partitions, sources that are late, figures that fell.

docs/alerts.md states each rule and gives the reasons of its constants.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from urllib.parse import unquote

from ingest.lake.files import Lake, LakeFile
from ingest.lake.layout import DATA_FILE
from ingest.partition.datasets import DATASETS, Dataset, Partition
from ingest.partition.day import has_ledger
from ingest.partition.quarantine import read_verdict, verdict_files
from ingest.source import Source, SourceObject
from ingest.words import sentence
from orchestration.alerts.alert import ERROR, WARNING, Alert, name, plain
from orchestration.quality import named
from orchestration.settings import Settings

REFUSED, SOURCE_MISSING, SOURCE_LATE = "refused", "source_missing", "source_late"
CTR_DROP, DELIVERY_LOW = "ctr_drop", "delivery_low"

WEEK = 7
LIVE_DAYS = 28  # a dataset without any day of so many has ended, or is a backfill of old days
USUAL_DAYS = 4  # of the week before
SAME_WEEKDAYS = 4
LEAST_SAME_WEEKDAYS = 2
LEAST_PACING_DAYS = 4  # of the week before
SIGMAS = 3.0


def refused(lake: Lake) -> list[Alert]:
    """Every partition in quarantine; a warning where an earlier good version stands."""
    verdicts = verdict_files(lake.files("quarantine"))
    marts = {table: lake.files(f"marts/{table}") for table in {_table(file) for file in verdicts} - set(DATASETS)}
    return [_refused(lake, file, marts) for file in verdicts]


def _table(file: LakeFile) -> str:
    return file.key.split("/")[1]


def _refused(lake: Lake, file: LakeFile, marts: Mapping[str, list[LakeFile]]) -> Alert:
    verdict = read_verdict(lake, file)
    table, day, site = _table(file), file.partition("day"), verdict.get("site")
    if table in DATASETS:
        stands = day is not None and has_ledger(lake, Partition(DATASETS[table], day, site))
    else:
        whole = f"marts/{table}/{DATA_FILE}"  # a mart of the whole history
        stands = any(f"={day}/" in each.key or each.key == whole for each in marts[table])
    shown = f"raw_{table}" if table in DATASETS else table
    subject = f"{shown}/{name(site)}" if site else shown
    reasons = "; ".join(f"{reason.get('check')}: {reason.get('message')}" for reason in verdict.get("reasons", ()))
    what_stands = "An earlier good version still stands." if stands else "Nothing of it is published."
    return Alert(
        kind=REFUSED,
        subject=subject,
        day=day,
        title=" ".join(filter(None, (subject, day, "refused"))),
        text=f"{sentence(plain(reasons))} {what_stands}",
        severity=WARNING if stands else ERROR,
        command=f"clicklake quarantine show {named(table, day, site)}" if day else "clicklake quarantine list",
    )


def late_sources(
    lake: Lake, sources: Mapping[str, Source], settings: Settings, now: dt.datetime, last_closed: dt.date
) -> list[Alert]:
    """Closed days without objects, and sources whose newest object is old."""
    found: list[Alert] = []
    for dataset, source in sources.items():
        arrivals = _arrivals(lake, DATASETS[dataset], source, settings, now, last_closed)
        found += arrivals.missing(settings, last_closed) + arrivals.late(settings, now)
    return found


@dataclass
class _Arrivals:
    """What a dataset's source has delivered.

    delivered: (site, day), and (None, day) for the dataset as a whole.
    recent: the objects of yesterday and today.
    """

    dataset: str
    delivered: set[tuple[str | None, str]]
    recent: list[SourceObject]

    def is_usual(self, site: str | None, day: dt.date) -> bool:
        """Whether this day is expected: of a dataset where any of the four weeks before was delivered, of a site as a
        week ago. A dataset that was taken up to some day of old, such as a month that is backfilled, is not live."""
        if site is None:
            return any((None, _back(day, back)) in self.delivered for back in range(1, LIVE_DAYS + 1))
        days = sum((site, _back(day, back)) in self.delivered for back in range(1, WEEK + 1))
        return (site, _back(day, WEEK)) in self.delivered and days >= USUAL_DAYS

    def missing(self, settings: Settings, last_closed: dt.date) -> list[Alert]:
        return [
            _missing(self.dataset, site, day.isoformat())
            for day in _closed_days(settings, last_closed)
            for site in self.subjects()
            if self.is_usual(site, day)
            and (site, day.isoformat()) not in self.delivered
            and (site is None or (None, day.isoformat()) in self.delivered)  # else the dataset's alert says it all
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
                    break  # so are all its sites
        return found

    def _age(self, site: str | None, now: dt.datetime) -> dt.timedelta | None:
        """Since the newest object, or since the day began on which there should have been one."""
        today, yesterday = now.date(), now.date() - dt.timedelta(days=1)
        if not self.is_usual(site, today):
            return None
        begun = yesterday if self.is_usual(site, yesterday) else today
        since = dt.datetime.combine(begun, dt.time(), dt.UTC)
        newest = [each.modified for each in self.recent if site is None or each.site == site]
        return now - max([since, *newest])


def _arrivals(
    lake: Lake, dataset: Dataset, source: Source, settings: Settings, now: dt.datetime, last_closed: dt.date
) -> _Arrivals:
    """The ledger knows what was delivered; of the source only recent days and those not in the ledger are listed."""
    arrivals = _Arrivals(dataset.name, _taken(lake, dataset), [])
    lacking = {alert.day for alert in arrivals.missing(settings, last_closed) if alert.day}
    recent = {now.date().isoformat(), _back(now.date(), 1)}
    for item in source.objects(sorted(lacking | recent)):
        arrivals.delivered |= {(None, item.day)} | ({(item.site, item.day)} if dataset.by_site else set())
        arrivals.recent += [item] if item.day in recent else []
    return arrivals


def _taken(lake: Lake, dataset: Dataset) -> set[tuple[str | None, str]]:
    """What was judged: taken, or refused, of which there is an alert already."""
    found: set[tuple[str | None, str]] = set()
    for layer, column in (("ledger", "source_date"), ("quarantine", "day")):
        for file in lake.files(f"{layer}/{dataset.name}"):
            day = file.partition(column)
            if day:
                site = file.partition("site")
                found |= {(None, day), (unquote(site) if site else None, day)}
    return found


def _closed_days(settings: Settings, last_closed: dt.date) -> list[dt.date]:
    days = [last_closed - dt.timedelta(days=back) for back in range(settings.sensor_lookback_days)]
    return [day for day in reversed(days) if day >= settings.first_day]


def _missing(dataset: str, site: str | None, day: str) -> Alert:
    subject = f"{dataset}/{name(site)}" if site else dataset
    of_whom = f"of {name(site)}, which usually delivers on this weekday" if site else "of this day"
    return Alert(
        kind=SOURCE_MISSING,
        subject=subject,
        day=day,
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


def fallen_figures(lake: Lake, settings: Settings, last_closed: dt.date) -> list[Alert]:
    """Campaigns whose click rate or impressions fell, on the newest published day of the week that closed last."""
    published = {file.partition("report_date"): file for file in lake.files("marts/daily_aggregates")}
    week = [_back(last_closed, back) for back in range(WEEK)]
    newest = next((day for day in week if day in published), None)
    if newest is None:
        return []
    day = dt.date.fromisoformat(newest)
    before = [_back(day, back) for back in range(1, WEEK + 1) if _back(day, back) in published]
    weekdays = [_back(day, WEEK * weeks) for weeks in range(1, SAME_WEEKDAYS + 1)]
    weekdays = [each for each in weekdays if each in published]
    campaigns = _campaigns(lake, sorted({newest, *before, *weekdays}), settings.alert_min_impressions)
    found: list[Alert] = []
    for campaign, figures in campaigns.items():
        found += _ctr_drop(campaign, newest, figures, weekdays, settings)
        found += _delivery_low(campaign, newest, figures, before, settings)
    return found


Figures = Mapping[str, tuple[int, int]]  # day → valid impressions, valid clicks


def _campaigns(lake: Lake, days: Sequence[str], least: int) -> dict[tuple[str, str], dict[str, tuple[int, int]]]:
    """(order, campaign) → its figures by day, of those with enough impressions on any of the days."""
    addresses = [lake.uri(f"marts/daily_aggregates/report_date={day}/{DATA_FILE}") for day in days]
    with lake.connect() as connection:
        rows = connection.execute(
            """
            select cast(report_date as varchar), coalesce(order_id, '-'), coalesce(campaign_id, '-'),
                cast(sum(valid_impressions) as bigint) as seen, cast(sum(valid_clicks) as bigint)
            from read_parquet($1, hive_partitioning = true)
            group by report_date, order_id, campaign_id
            qualify max(seen) over (partition by order_id, campaign_id) >= $2
            order by order_id, campaign_id
            """,
            [addresses, least],
        ).fetchall()
    found: dict[tuple[str, str], dict[str, tuple[int, int]]] = {}
    for day, order, campaign, impressions, clicks in rows:
        found.setdefault((order, campaign), {})[day] = (impressions, clicks)
    return found


def _ctr_drop(
    campaign: tuple[str, str], day: str, figures: Figures, weekdays: Sequence[str], settings: Settings
) -> list[Alert]:
    """Below the usual share of the median of the same weekdays, and by more than chance would have it."""
    least = settings.alert_min_impressions
    impressions, clicks = figures.get(day, (0, 0))
    rates = [figures[each][1] / figures[each][0] for each in weekdays if figures.get(each, (0, 0))[0] >= least]
    if impressions < least or len(rates) < LEAST_SAME_WEEKDAYS:
        return []
    usual = median(rates)
    expected = usual * impressions
    is_low = clicks < expected * (1 - settings.alert_ctr_drop)
    if not is_low or expected - clicks <= SIGMAS * math.sqrt(expected):
        return []
    text = (
        f"CTR of {day} is {clicks / impressions:.2%} ({clicks:,} valid clicks of {impressions:,} impressions); "
        f"the median of the last {len(rates)} same weekdays is {usual:.2%}. Do the links and the landing page work?"
    )
    return [_of_campaign(CTR_DROP, campaign, day, "CTR fell", text)]


def _delivery_low(
    campaign: tuple[str, str], day: str, figures: Figures, before: Sequence[str], settings: Settings
) -> list[Alert]:
    """Far below the campaign's own median of the week before; a day without it counts as none."""
    if len(before) < LEAST_PACING_DAYS:
        return []
    usual = median(figures.get(each, (0, 0))[0] for each in before)
    impressions = figures.get(day, (0, 0))[0]
    if usual < settings.alert_min_impressions or impressions >= usual * settings.alert_delivery_share:
        return []
    text = (
        f"{impressions:,} valid impressions on {day}; the median of the {len(before)} days before is {usual:,.0f}. "
        "Has the campaign ended, or is a placement gone?"
    )
    return [_of_campaign(DELIVERY_LOW, campaign, day, "delivery is low", text)]


def _of_campaign(kind: str, campaign: tuple[str, str], day: str, what: str, text: str) -> Alert:
    order, named = map(name, campaign)
    return Alert(
        kind=kind,
        subject=f"{order}/{named}",
        title=f"Order {order}, campaign {named}: {what}",
        text=text,
        severity=WARNING,
        command=f"clicklake query \"from marts.daily_aggregates where report_date = '{day}'\"",
    )


def _back(day: dt.date, days: int) -> str:
    return (day - dt.timedelta(days=days)).isoformat()

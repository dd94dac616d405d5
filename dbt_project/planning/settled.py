"""How far back the history of identities is settled: its days are summed up once, and runs read of it only what belongs
to the people of the days after it.

The summary is made of the published days of SUMMED_UP until a day, by rules. If one of these days or the rules change,
it no longer counts, and a run reads the whole history again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import date

from dbt_project.planning.plan import Plan
from dbt_project.planning.verdicts import Judged
from dbt_project.planning.window import shifted
from ingest.days import day_text, parse_day

VERSION = 1  # of the parts and of the way they are made
SUMMED_UP = ("identity_nodes", "identity_edges")
# Marts that are put together from the summary and the days after it.
MADE_OF_IT = ("identity_map", "identity_changes", "dim_users")
PARTS = ("clusters", "shared", "node_days", "edge_days", *MADE_OF_IT, "networks")
LOOK_BACK = 7  # days; a Sunday's identities were seen in a week
LATE = 3  # days by which runs may be late, and still find the summary before their days
LEAST = 30  # days; a shorter history is not summed up
RENEWED = 21  # days after which a longer summary is made


@dataclass(frozen=True)
class Settled:
    """A summary.

    through: its last day. made_of: fingerprint of what it is made of. parts: part → (key, SHA-256) of its file.
    """

    through: date
    made_of: str
    parts: Mapping[str, tuple[str, str]]

    def text(self) -> str:
        return json.dumps(asdict(self) | {"through": day_text(self.through)})

    @classmethod
    def of_text(cls, text: str) -> Settled | None:
        """None for the text of another version."""
        told = json.loads(text)
        if not isinstance(told, dict) or set(told.get("parts", ())) != set(PARTS):
            return None
        parts = {name: (key, sha256) for name, (key, sha256) in told["parts"].items()}
        return cls(parse_day(told["through"]), told["made_of"], parts)


def before_all_days(plan: Plan) -> date | None:
    """The last day that no model of a run reads day by day; None if the run does not build all marts of identities."""
    tables = plan.inputs.lake_tables
    if not plan.is_building or not {*SUMMED_UP, *MADE_OF_IT} <= {node.name for node in tables}:
        return None
    first = min(day for node in tables for day in (*plan.built_days(node), *plan.window))
    return shifted(first, -LOOK_BACK - 1)


def made_of(plan: Plan, sums: Mapping[str, str], rules: str, through: date) -> str | None:
    """The fingerprint of what a summary until a day is made of; None if the lake does not say what a file is.

    Args:
        sums: key → SHA-256 of each file that has exactly one record.
        rules: the fingerprint of the rules.
    """
    files = []
    for name in SUMMED_UP:
        for key in sorted(plan.published_keys(plan.known_model(name), last=through)):
            if key not in sums:
                return None
            files.append([key, sums[key]])
    told = json.dumps([VERSION, rules, day_text(through), files])
    return hashlib.sha256(told.encode()).hexdigest()


def day_to_settle(plan: Plan, settled: Settled | None) -> date | None:
    """The last day of a summary that this run should make; None while the present one is long enough."""
    limit = before_all_days(plan)
    if limit is None or (settled and shifted(settled.through, RENEWED) >= limit):
        return None
    through = shifted(limit, -LATE)
    days = [day for day in plan.published_days(plan.known_model(SUMMED_UP[0])) if day <= through]
    return through if len(days) >= LEAST else None


def are_published(judged: Mapping[str, Judged], published: Collection[str]) -> bool:
    """Whether a run has published every day of all marts that a summary is made of and made for.

    Args:
        judged: id → verdict on each lake_table.
        published: ids of those whose files have been put in place.
    """
    found = {each.node.name: each for id_, each in judged.items() if id_ in published}
    return all(
        name in found and found[name].days_with("published") == list(found[name].days)
        for name in (*SUMMED_UP, *MADE_OF_IT)
    )

"""The rules in force, from the place that the settings name."""

from __future__ import annotations

from ingest.lake.files import Lake
from ingest.rules.rules import Rules, load_rules
from orchestration.places import DBT_DIR
from orchestration.settings import LakeSettings

SEEDS = DBT_DIR / "seeds"


def rules_of(settings: LakeSettings) -> Rules:
    """The rules in force. Whatever starts a run reads them first, so that a mistake is found before anything runs.

    Raises:
        RulesError: some rule is wrong; the message names file and line.
        LakeError: the place of the rules cannot be read.
    """
    folder = Lake(settings.rules, settings.s3) if settings.rules else None
    lake = settings.open_lake() if settings.lake else None  # a draft can be checked without a lake
    return load_rules(folder, lake, SEEDS)

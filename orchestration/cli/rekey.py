"""`clicklake rekey`: changes a lake from one hash key to the next."""

from __future__ import annotations

import click

from ingest.words import counted
from orchestration.cli import DONE
from orchestration.cli.changes import build_all, ensure_lake
from orchestration.cli.console import bar, console, notes
from orchestration.settings import load_settings


@click.command("rekey", short_help="Change the lake to a new hash key.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and change nothing.")
@click.option("--no-publish", is_flag=True, help="Stop at the marts; nothing is written to MongoDB.")
def command(dry_run: bool, no_publish: bool) -> int:
    """Changes a lake that was written with the keys in CLICKLAKE_HASH_KEYS_BEFORE to CLICKLAKE_HASH_KEY.

    Each keyed hash in raw and in quarantine becomes its keyed hash under the new key, without the source. Then
    all marts are built again and published. From then on nobody can test guesses with the earlier keys alone.
    Until the end, no other run writes to the lake; after an interruption the same command goes on.

    \b
    Examples:
      clicklake rekey --dry-run
      clicklake rekey
    """
    settings = load_settings()
    from ingest.partition import lake_format, rekey
    from orchestration.cli.pipeline import check_reachable, publishes_to

    lake, keys = settings.open_lake(), settings.hash_keys()
    ensure_lake(lake)
    about = lake_format.look(lake, keys, lake_format.REKEY)
    to_come = lake_format.keys_to_come(about, keys) if about else ()
    if not about or not to_come:
        console.print(f"{lake.url} is of CLICKLAKE_HASH_KEY already.")
        return DONE
    before, after = about.key, lake_format.fingerprint(keys)
    ledgers, refused = rekey.ledgers(lake), list(rekey.refused_files(lake))
    rekey.ensure_keys(lake, ledgers, before, after)
    console.print(
        f"{counted(len(ledgers), 'partition')} and {counted(len(refused), 'refused file')} "
        f"{'would be' if dry_run else 'are'} changed, and all marts built again."
    )
    if dry_run:
        return DONE
    publishes = publishes_to(settings, no_publish)
    lake_format.begin_change(lake, keys, lake_format.REKEY)
    check_reachable(settings, publishes, lake_format.REKEY)
    with bar("Changing hashes", len(ledgers), ("partitions", "changed")) as advance:
        changed = 0
        for number, key in enumerate(ledgers, 1):
            changed += rekey.rekey(lake, key, to_come, before, after)
            advance(number, len(ledgers), changed)
    for key in refused:
        rekey.rekey_refused(lake, key, to_come, after)
    notes.print(f"{counted(changed, 'partition')} changed; the marts follow")
    return build_all(lake, settings, lake_format.REKEY, publishes, [])

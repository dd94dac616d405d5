"""The command line: `clicklake --help`. Each command is a module."""

from __future__ import annotations

import os
import signal
import sys
from threading import Timer

import click

from ingest.errors import ClicklakeError, SettingsError, SourceError
from orchestration.garbage import collect_seldom

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
BUILDING = ("run", "demo")  # commands that are sure to run dbt


class Group(click.Group):
    """Loads a command's module only when the command is called, because Dagster and dbt take seconds to load."""

    names = (
        "run", "refresh", "backfill", "query", "tables", "describe", "views", "status",
        "rules", "quarantine", "release", "verify", "upgrade", "rekey", "alerts", "metrics", "dev", "services", "demo",
    )  # fmt: skip

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.names)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] in BUILDING and not {"-h", "--help"} & set(args):
            from orchestration.marts.dbt_process import load_dbt

            load_dbt()  # in its own process, while this one loads Dagster and reads raw
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.names:
            return None
        from importlib import import_module

        command: click.Command = import_module(f"orchestration.cli.{cmd_name}").command
        return command


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="clicklake", message="clicklake %(version)s")
def cli() -> None:
    """A tracking lakehouse: access logs and events become daily numbers and sessions, one audited day at a time.

    Settings are CLICKLAKE_… variables, from the environment or a .env file; docs/settings.md lists them.
    `clicklake demo` needs none, and `clicklake services` starts what a first try needs.

    \b
    Exit status:
      0    done
      1    some partition was refused or failed; each is named, with its reason
      2    wrong usage or settings; nothing was run
      130  interrupted; what was published is whole, run again
    """


def main() -> None:
    """Runs a command. Expected errors end in one sentence and an exit status."""
    sys.unraisablehook = _hear_again
    collect_seldom()
    try:
        code = cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        code = _say("interrupted. What was published is whole; run the same command again to go on", INTERRUPTED)
    except KeyboardInterrupt:
        code = _say("interrupted. What was published is whole; run the same command again to go on", INTERRUPTED)
    except click.ClickException as error:
        from ingest.shown import shown_lines

        error.message = shown_lines(error.message)  # type: ignore[misc]
        error.show()
        code = USAGE
    except (SettingsError, SourceError) as error:
        code = _say(str(error), USAGE)
    except ClicklakeError as error:
        code = _say(str(error), FAILED)
    sys.exit(code or DONE)


def _hear_again(lost: sys.UnraisableHookArgs) -> None:
    """Repeats a Ctrl-C that Python dropped because it came while an object was destroyed. It comes a moment later,
    because here it would be dropped as well."""
    if issubclass(lost.exc_type, KeyboardInterrupt):
        Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
    else:
        sys.__unraisablehook__(lost)


def _say(message: str, code: int) -> int:
    from orchestration.cli.console import complain

    complain(f"{message}{'' if message.endswith(('.', '?', '!')) else '.'}")
    return code

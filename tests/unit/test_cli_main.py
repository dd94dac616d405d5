"""What the command line does around every command."""

from __future__ import annotations

import subprocess
import sys
from textwrap import dedent


def test_a_ctrl_c_that_python_drops_comes_again() -> None:
    """It comes while an object is cleared away, where Python drops every exception."""
    program = dedent("""
        import gc, signal, time
        import click
        from orchestration import cli

        class Cleared:
            def __del__(self):
                signal.raise_signal(signal.SIGINT)

        @click.command()
        def waits():
            Cleared()
            gc.collect()
            time.sleep(600)

        signal.signal(signal.SIGINT, signal.default_int_handler)
        cli.cli = waits
        cli.main()
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 130, done.stderr
    assert "clicklake: interrupted." in done.stderr

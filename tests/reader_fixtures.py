"""Both ways of reading objects: with the native core, and in Python."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ingest.native import library
from ingest.native.library import Way

Use = Callable[[str], None]


@pytest.fixture
def use_reader(monkeypatch: pytest.MonkeyPatch) -> Use:
    """A function that sets the way from now on, whatever options say: `native` or `python`."""
    compiled = library._loaded()

    def use(reader: str) -> None:
        if reader == library.NATIVE and compiled.core is None:
            pytest.skip(compiled.why)
        chosen = compiled if reader == library.NATIVE else Way(None, "the Python way, as this test says")
        monkeypatch.setattr(library, "_loaded", lambda: chosen)

    return use


@pytest.fixture(params=[library.NATIVE, library.PYTHON])
def each_reader(request: pytest.FixtureRequest, use_reader: Use) -> str:
    """Runs a test with each way."""
    use_reader(request.param)
    return str(request.param)

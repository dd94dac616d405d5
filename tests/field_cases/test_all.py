"""Each field case has a test that is named for it."""

from __future__ import annotations

import re
from pathlib import Path

from tests.field_cases.known import CASES

HERE = Path(__file__).parent


def test_each_case_is_tested() -> None:
    text = "\n".join(path.read_text("utf-8") for path in sorted(HERE.glob("test_*.py")))
    named = {number.upper() for number in re.findall(r"^def test_([a-h][0-9]*)_", text, re.MULTILINE)}
    assert named == set(CASES)

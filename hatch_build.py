"""Puts the compiled native core into a wheel for one platform, such as `WHEEL_PLATFORM=linux-x86_64 hatchling build`.

Without that variable the wheel is pure Python, and reads objects the Python way.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

TAGS = {
    "linux-x86_64": "manylinux_2_17_x86_64",
    "linux-aarch64": "manylinux_2_17_aarch64",
    "macosx-x86_64": "macosx_11_0_x86_64",
    "macosx-arm64": "macosx_11_0_arm64",
}


class CompiledCore(BuildHookInterface):  # type: ignore[type-arg]
    """Compiles the core for the platform that is asked for, and adds it to the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        wanted = os.environ.get("WHEEL_PLATFORM")
        if not wanted or version == "editable":
            return
        if wanted not in TAGS:
            raise ValueError(f"WHEEL_PLATFORM is {wanted!r}; there are {', '.join(TAGS)}")
        sys.path.insert(0, self.root)
        from ingest.native.build import build

        file = build(wanted)
        build_data["force_include"][str(file)] = str(file.relative_to(Path(self.root).resolve()))
        build_data["tag"] = f"py3-none-{TAGS[wanted]}"
        build_data["pure_python"] = False

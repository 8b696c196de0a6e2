"""What a benchmark has measured so far, part by part, so that a run which ended early goes on where it stopped.

A part is a file in `.benchmarks/parts/NAME/`, written whole; `--again` measures it anew.
"""

import json
import os
import re
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.peers import CACHE

__all__ = ["Parts"]


class Parts:
    """The parts of one benchmark. is_again: whether what is kept is measured anew."""

    def __init__(self, benchmark: str, *, is_again: bool = False) -> None:
        self._folder = CACHE / "parts" / benchmark
        self._is_again = is_again
        self._loads: list[float] = []
        self._days: set[str] = set()

    def measure(self, part: str, run: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
        """What is kept of the part, or what `run` returns now; None, with a notice, where it fails.

        run: returns JSON values.
        """
        if not self._is_again and (kept := self.kept(part)) is not None:
            print(f"{part}: kept from before", file=sys.stderr, flush=True)
            return kept
        print(f"{part}: measuring", file=sys.stderr, flush=True)
        try:
            found = run()
        # A peer's library, or a table, that fails must not take the other parts with it.
        except Exception as error:
            print(f"{part}: failed, {type(error).__name__}: {str(error)[:800]}", file=sys.stderr, flush=True)
            return None
        self._folder.mkdir(parents=True, exist_ok=True)
        content = {"part": part, "day": date.today().isoformat(), "load": os.getloadavg()[0], "found": found}
        unfinished = self._path(part).with_suffix(".unfinished")
        unfinished.write_text(json.dumps(content))
        unfinished.replace(self._path(part))
        return self.kept(part)

    def kept(self, part: str) -> dict[str, Any] | None:
        """What was measured of the part, in this run or an earlier one; None where nothing was."""
        try:
            content = json.loads(self._path(part).read_text())
        except (OSError, ValueError):
            return None
        self._loads.append(content["load"])
        self._days.add(content["day"])
        found: dict[str, Any] = content["found"]
        return found

    def note(self) -> str:
        """When the parts were measured, and on how busy a machine."""
        if not self._loads:
            return "Nothing was measured."
        return (
            f"Measured part by part on {' and '.join(sorted(self._days))}; load average at the end of a part "
            f"{min(self._loads):.1f} to {max(self._loads):.1f}."
        )

    def _path(self, part: str) -> Path:
        return self._folder / (re.sub(r"[^A-Za-z0-9.]+", "-", part).strip("-") + ".json")

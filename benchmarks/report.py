"""A benchmark's table: printed, and kept as `benchmarks/results/NAME.md` for the page that quotes it."""

import os
import platform
from collections.abc import Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path

from penstock import __version__

RESULTS = Path(__file__).resolve().parent / "results"


def report(
    name: str, title: str, headers: Sequence[str], rows: Sequence[Sequence[object]], notes: Sequence[str]
) -> None:
    """Prints a Markdown table with what it was run on, and writes it to `results/`."""
    lines = [f"### {title}", ""]
    lines += ["| " + " | ".join(headers) + " |", "|" + "|".join("---" for _ in headers) + "|"]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    lines += ["", *[f"- {note}" for note in notes]]
    lines += [
        f"- Run on {date.today().isoformat()}: {os.cpu_count()} cores, {platform.machine()}, "
        f"Python {platform.python_version()}, Penstock {__version__}.",
        "",
    ]
    text = "\n".join(lines)
    print(text, flush=True)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(text)


def version_of(*distributions: str) -> str:
    """Names and versions of installed peers, for the notes."""
    return ", ".join(f"{name} {version(name)}" for name in distributions)

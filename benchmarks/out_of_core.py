"""Rows a second of a training from disk under a memory cap, next to the same training in memory: the second epoch.

The two trainings are parts: what is measured is kept, and a run that ended early goes on.
"""

import argparse
import json
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.measure import run_measured
from benchmarks.parts import Parts
from benchmarks.peers import CACHE
from benchmarks.report import report, version_of

FEATURES = 9
BATCH = 4096
HIDDEN = "64-64"
IN_MEMORY_ROWS = 2_000_000
HELD_CAP_MB = 100_000
STEP = Path(__file__).resolve().parent / "steps" / "out_of_core_training.py"


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.out_of_core", description=__doc__)
    parser.add_argument("gb", nargs="?", type=float, default=3.0, help="gigabytes of rows as float64")
    parser.add_argument("cap_mb", nargs="?", type=int, default=1000, help="memory of the training")
    parser.add_argument("--part", choices=("held", "streamed"), help="measure only this one; the report is of both")
    parser.add_argument("--again", action="store_true", help="also what is kept from an earlier run")
    parser.add_argument("--keep-table", action="store_true", help="leave the generated table for another run")
    options = parser.parse_args(arguments)
    rows = int(options.gb * 1e9 / (8 * (FEATURES + 1)))
    folder = CACHE / "out_of_core"
    folder.mkdir(parents=True, exist_ok=True)
    table = folder / f"{rows}-rows.parquet"
    parts = Parts("out_of_core", is_again=options.again)
    cap_mb: int = options.cap_mb
    tasks = {
        "held": (f"held, {min(rows, IN_MEMORY_ROWS)} of {rows} rows", min(rows, IN_MEMORY_ROWS), HELD_CAP_MB),
        "streamed": (f"streamed, {rows} rows, cap {cap_mb} MB", rows, cap_mb),
    }
    for name, (part, count, cap) in tasks.items():
        if options.part in (None, name):
            parts.measure(part, partial(_measure, folder, table, rows, count, cap, generation_cap_mb=cap_mb))
    if not options.keep_table:
        table.unlink(missing_ok=True)
    kept = Parts("out_of_core")
    held, streamed = (kept.kept(part) for part, _, _ in tasks.values())
    if held is None or streamed is None:
        sys.exit("one of the two parts is not measured yet; without it there is no ratio to report")
    share = streamed["second_epoch"] / held["second_epoch"]
    report(
        "out_of_core",
        "Training from disk under a memory cap",
        ["", "rows", "first epoch, rows/s", "second epoch, rows/s", "of in memory", "peak memory, MB"],
        [
            _row("in memory", held, "1.00"),
            _row(f"from disk, cap {cap_mb:,} MB", streamed, f"{share:.2f}"),
        ],
        [
            f"{options.gb:g} GB of rows as float64: {rows:,} rows of {FEATURES} numbers and a label, in one Parquet "
            f"file of {streamed['file_mb']:,.0f} MB; the peer is the same training on {held['rows']:,} of them, held.",
            f"DNNRegressor, network {FEATURES}-{HIDDEN}-1, {BATCH:,} rows a step; the time of steps alone.",
            "The first epoch reads the table, encodes it and writes the cache; the second reads the cache.",
            f"Before the first step, the table is opened and passed over once: {streamed['before_s']:.0f} s from disk.",
            kept.note(),
            f"{version_of('jax', 'keras', 'duckdb')}.",
        ],
    )


def _row(name: str, run: dict, share: str) -> list[str]:
    speeds = [f"{run[epoch]:,.0f}" for epoch in ("first_epoch", "second_epoch")]
    return [name, f"{run['rows']:,}", *speeds, share, f"{run['peak_mb']:,.0f}"]


def _generate(path: Path, rows: int, *, cap_mb: int) -> None:
    import duckdb

    columns = ", ".join(f"random() AS x{i}" for i in range(FEATURES))
    with duckdb.connect(config={"memory_limit": f"{cap_mb}MB"}) as connection:
        connection.execute("SET preserve_insertion_order = false")
        connection.execute(
            f"COPY (SELECT *, x0 * 3 - x1 * x2 + sin(6 * x3) AS y FROM (SELECT {columns} FROM range({rows}))) "
            f"TO '{path}' (FORMAT parquet)"
        )


def _measure(
    folder: Path, table: Path, rows: int, count: int, cap_mb: int, *, generation_cap_mb: int
) -> dict[str, Any]:
    """One training on the first `count` rows of the table, which is generated where it is not there."""
    if not table.exists():
        unfinished = table.with_suffix(".unfinished")
        _generate(unfinished, rows, cap_mb=generation_cap_mb)
        unfinished.replace(table)
    words = [sys.executable, STEP, table, str(count), str(cap_mb), str(BATCH)]
    # On the disk of the table: a folder for temporary files may be memory.
    with tempfile.TemporaryDirectory(dir=folder) as home:
        done = run_measured(
            words, env={"PENSTOCK_HOME": f"{home}/home", "PENSTOCK_MEMORY_LIMIT_MB": "250", "TMPDIR": home}
        )
    if done.status:
        raise RuntimeError(f"the training of {count:,} rows ended with status {done.status}")
    return {**json.loads(done.output.splitlines()[-1]), "peak_mb": done.peak_mb}


if __name__ == "__main__":
    main(sys.argv[1:])

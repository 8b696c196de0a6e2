"""Rows a second of a training from disk under a memory cap, next to the same training in memory: the second epoch."""

import json
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import run_measured
from benchmarks.report import report, version_of

FEATURES = 9
BATCH = 4096
HIDDEN = "64-64"
IN_MEMORY_ROWS = 2_000_000
STEP = Path(__file__).resolve().parent / "steps" / "out_of_core_training.py"


def main(arguments: list[str]) -> None:
    """arguments: gigabytes of rows as float64 (default 3), and the cap in MB (default 1000)."""
    size_gb = float(arguments[0]) if arguments else 3.0
    cap_mb = int(arguments[1]) if len(arguments) > 1 else 1000
    rows = int(size_gb * 1e9 / (8 * (FEATURES + 1)))
    with tempfile.TemporaryDirectory(prefix="penstock-out-of-core-") as folder:
        table = Path(folder) / "rows.parquet"
        _generate(table, rows, cap_mb=cap_mb)
        held = _train(folder, table, IN_MEMORY_ROWS, 100_000)
        streamed = _train(folder, table, rows, cap_mb)
    print(json.dumps({"held": held, "streamed": streamed}), file=sys.stderr)
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
            f"{size_gb:g} GB of rows as float64: {rows:,} rows of {FEATURES} numbers and a label, in one Parquet file "
            f"of {streamed['file_mb']:,.0f} MB; the peer is the same training on {IN_MEMORY_ROWS:,} of them, held.",
            f"DNNRegressor, network {FEATURES}-{HIDDEN}-1, {BATCH:,} rows a step; the time of steps alone.",
            "The first epoch reads the table, encodes it and writes the cache; the second reads the cache.",
            f"Before the first step, the table is opened and passed over once: {streamed['before_s']:.0f} s from disk.",
            version_of("jax", "keras", "duckdb"),
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


def _train(folder: str, table: Path, rows: int, cap_mb: int) -> dict:
    words = [sys.executable, STEP, table, str(rows), str(cap_mb), str(BATCH)]
    done = run_measured(words, env={"PENSTOCK_HOME": f"{folder}/home", "PENSTOCK_MEMORY_LIMIT_MB": "250"})
    if done.status:
        raise SystemExit(f"the training of {rows:,} rows ended with status {done.status}")
    return {**json.loads(done.output.splitlines()[-1]), "peak_mb": done.peak_mb}


if __name__ == "__main__":
    main(sys.argv[1:])

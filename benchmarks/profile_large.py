"""All statistics and histograms of a large CSV, next to DuckDB's SUMMARIZE, Polars, pandas and fg-data-profiling.

`python -m benchmarks.profile_large [--rows N] [--times N]`. Each in a process of its own, peers in their own
environments; Penstock and SUMMARIZE take turns `--times` times and the fastest of each counts. `--times-larger N` has
Penstock profile a file N times as large too.
"""

import argparse
import sys
from pathlib import Path

from benchmarks.measure import Measured, run_measured
from benchmarks.peers import CACHE, peer_python
from benchmarks.prepare_large import ROWS, TIMEOUT_S, _tables
from benchmarks.report import report, version_of

SUMMARIZE = """
import sys
import duckdb
duckdb.connect().execute("SUMMARIZE SELECT * FROM read_csv(?)", [sys.argv[1]]).fetchall()
"""

POLARS = """
import sys
import polars as pl
pl.scan_csv(sys.argv[1], try_parse_dates=True).describe()
"""

PANDAS = """
import sys
import pandas as pd
pd.read_csv(sys.argv[1], parse_dates=["pickup"]).describe(include="all")
"""

PROFILING = """
import sys
import pandas as pd
from data_profiling import ProfileReport
ProfileReport(pd.read_csv(sys.argv[1], parse_dates=["pickup"]), minimal=True, progress_bar=False).to_json()
"""


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--times", type=int, default=2)
    parser.add_argument("--times-larger", type=int, default=0)
    chosen = parser.parse_args(arguments)
    rides, _ = _tables(chosen.rows)
    own, summarize = [], []
    for _ in range(chosen.times):
        summarize.append(run_measured([sys.executable, "-c", SUMMARIZE, rides]))
        own.append(_penstock(rides))
    best = min(own, key=_seconds)
    measured = [("Penstock", best), ("DuckDB SUMMARIZE, no histograms", min(summarize, key=_seconds))]
    for name, requirements, code in (
        ("Polars describe, no histograms", ["polars==1.35.2"], POLARS),
        ("pandas describe, no histograms", ["pandas==2.3.3"], PANDAS),
        ("fg-data-profiling, minimal", ["fg-data-profiling"], PROFILING),
    ):
        python = peer_python(requirements[0].split("=")[0], requirements)
        if python is not None:
            measured.append((name, run_measured(["timeout", str(TIMEOUT_S), python, "-c", code, rides])))
    if chosen.times_larger:
        large, _ = _tables(chosen.rows * chosen.times_larger)
        measured.append((f"Penstock, {chosen.times_larger} times the rows", _penstock(large)))
    report(
        "profile_large",
        f"Profiling {chosen.rows:,} rows of 13 columns",
        ["", "seconds", "over Penstock", "peak memory, MB", "over Penstock"],
        [_row(name, found, best) for name, found in measured],
        [
            f"A CSV of {rides.stat().st_size / 1e9:.1f} GB; reading is part of it. Penstock and SUMMARIZE took turns "
            f"{chosen.times} times, the fastest counts.",
            "Penstock: the command line, from detecting the dialect to the printed text; every statistic, histograms, "
            "sketches, findings and associations.",
            f"Penstock runs on {version_of('duckdb')}.",
        ],
    )


def _penstock(rides: Path) -> Measured:
    found = run_measured(
        [sys.executable, "-m", "penstock.cli.main", "data", "profile", rides],
        env={"PENSTOCK_HOME": str(CACHE / "profile-home")},
    )
    if found.status:
        sys.exit("Penstock did not finish")
    return found


def _seconds(found: Measured) -> float:
    return found.wall_s


def _row(name: str, found: Measured, own: Measured) -> list[object]:
    if found.status:
        return [name, f"did not finish ({found.wall_s:.0f} s)", "", f"{found.peak_mb:,.0f}", ""]
    return [
        name,
        f"{found.wall_s:.1f}",
        f"{found.wall_s / own.wall_s:.2f}",
        f"{found.peak_mb:,.0f}",
        f"{found.peak_mb / own.peak_mb:.2f}",
    ]


if __name__ == "__main__":
    main(sys.argv[1:])

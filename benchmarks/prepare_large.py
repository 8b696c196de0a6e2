"""A recipe on a file larger than memory: filter, derive, join with a million rows, rolling window, split; to Parquet.

`python -m benchmarks.prepare_large [--rows N] [--memory-mb N]`. Polars and pandas do the same work, each in its own
environment; whatever a peer runs out of (memory, time) is said in its row.
"""

import argparse
import shutil
import sys
from pathlib import Path

import duckdb

from benchmarks.measure import Measured, run_measured
from benchmarks.peers import CACHE, peer_python
from benchmarks.report import report, version_of

ROWS = 10_000_000
ZONES = 1_000_000
CAP_MB = 1_000
TIMEOUT_S = 900

RECIPE = """
source: {rides}
tables:
  zones: {zones}
steps:
  - filter: fare > 2 and km > 0.1 and passengers >= 1
  - derive:
      fare_per_km: fare / km
      tip_share: tip / (fare + tip)
      hour: hour(pickup)
      is_weekend: weekday(pickup) >= 5
  - join: {{with: zones, on: zone, how: left}}
  - window:
      by: driver
      order: pickup
      columns: {{fare_7: "rolling_mean(fare, 7)", before: lag(fare)}}
  - split: {{method: key, by: id}}
"""

POLARS = """
import sys
import polars as pl
rides, zones, output = sys.argv[1:4]
frame = (
    pl.scan_csv(rides, try_parse_dates=True)
    .filter((pl.col("fare") > 2) & (pl.col("km") > 0.1) & (pl.col("passengers") >= 1))
    .with_columns(
        fare_per_km=pl.col("fare") / pl.col("km"),
        tip_share=pl.col("tip") / (pl.col("fare") + pl.col("tip")),
        hour=pl.col("pickup").dt.hour(),
        is_weekend=pl.col("pickup").dt.weekday() >= 6,
    )
    .join(pl.scan_csv(zones), on="zone", how="left")
    .with_columns(
        fare_7=pl.col("fare").rolling_mean(7, min_samples=1).over("driver", order_by="pickup"),
        before=pl.col("fare").shift(1).over("driver", order_by="pickup"),
    )
    .with_columns(u=pl.col("id").hash(seed=0) / 2.0**64)
    .with_columns(
        split=pl.when(pl.col("u") < 0.8).then(pl.lit("train"))
        .when(pl.col("u") < 0.9).then(pl.lit("validation")).otherwise(pl.lit("test"))
    )
    .drop("u")
)
frame.sink_parquet(output, engine="streaming")
"""

PANDAS = """
import sys
import numpy as np
import pandas as pd
rides, zones, output = sys.argv[1:4]
frame = pd.read_csv(rides, parse_dates=["pickup"])
frame = frame[(frame["fare"] > 2) & (frame["km"] > 0.1) & (frame["passengers"] >= 1)]
frame = frame.assign(
    fare_per_km=frame["fare"] / frame["km"],
    tip_share=frame["tip"] / (frame["fare"] + frame["tip"]),
    hour=frame["pickup"].dt.hour,
    is_weekend=frame["pickup"].dt.weekday >= 5,
)
frame = frame.merge(pd.read_csv(zones), on="zone", how="left")
frame = frame.sort_values(["driver", "pickup"], ignore_index=True)
by_driver = frame.groupby("driver", sort=False)["fare"]
frame["fare_7"] = by_driver.rolling(7, min_periods=1).mean().to_numpy()
frame["before"] = by_driver.shift(1)
u = pd.util.hash_pandas_object(frame["id"], index=False).to_numpy() / 2.0**64
frame["split"] = np.where(u < 0.8, "train", np.where(u < 0.9, "validation", "test"))
frame.to_parquet(output, index=False)
"""


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--memory-mb", type=int, default=CAP_MB)
    chosen = parser.parse_args(arguments)
    rides, zones = _tables(chosen.rows)
    work = CACHE / "prepare-work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        measured = [
            ("Penstock", _penstock(rides, zones, work, chosen.memory_mb)),
            ("Polars, streaming", _peer("polars", ["polars==1.35.2"], POLARS, rides, zones, work)),
            ("pandas", _peer("pandas", ["pandas==2.3.3", "pyarrow==22.0.0"], PANDAS, rides, zones, work)),
        ]
    finally:
        shutil.rmtree(work, ignore_errors=True)
    own = measured[0][1]
    size_gb = rides.stat().st_size / 1e9
    report(
        "prepare_large",
        f"Preparing {chosen.rows:,} rows: filter, derive, join with {ZONES:,} rows, rolling window, split",
        ["", "seconds", "over Penstock", "peak memory, MB", "over Penstock"],
        [_row(name, found, own) for name, found in measured],
        [
            f"A CSV of {size_gb:.1f} GB and 13 columns, to Parquet. Penstock stays under "
            f"{chosen.memory_mb:,} MB in all (`--memory-limit`); the peers take what they need.",
            "Each in a process of its own, reading included, and for Penstock the detection of types from all rows.",
            f"Penstock runs on {version_of('duckdb')}.",
        ],
    )
    if own.status:
        sys.exit("Penstock did not finish")
    if own.peak_mb > chosen.memory_mb:
        sys.exit(f"Penstock took {own.peak_mb:,.0f} MB, over the {chosen.memory_mb:,} MB that it may take")


def _tables(rows: int) -> tuple[Path, Path]:
    """The rides and the zones, made once."""
    folder = CACHE / "data"
    folder.mkdir(parents=True, exist_ok=True)
    rides, zones = folder / f"rides-{rows}.csv", folder / f"zones-{ZONES}.csv"
    for path, query in ((rides, _rides_sql(rows)), (zones, _ZONES_SQL)):
        if not path.exists():
            new = path.with_suffix(".new")
            with duckdb.connect() as connection:
                connection.execute(f"COPY ({query}) TO '{new}' (FORMAT csv, HEADER true)")
            new.rename(path)
    return rides, zones


def _rides_sql(rows: int) -> str:
    return f"""
        SELECT i AS id, hash(i) % 50000 AS driver, hash(i + 7) % {ZONES} AS zone,
            TIMESTAMP '2023-01-01' + to_seconds(CAST(i * 3 + hash(i + 1) % 5000 AS BIGINT)) AS pickup,
            round(2 + (hash(i + 2) % 100000) / 1000.0, 2) AS fare, round((hash(i + 3) % 30000) / 1000.0, 3) AS km,
            hash(i + 4) % 6 AS passengers, round((hash(i + 5) % 2000) / 100.0, 2) AS tip,
            ['cash', 'card', 'app', 'voucher'][CAST(1 + hash(i + 6) % 4 AS BIGINT)] AS payment,
            'city ' || (hash(i + 8) % 300) AS city,
            CASE WHEN hash(i + 9) % 10 < 8 THEN 1 + hash(i + 9) % 5 END AS rating,
            hash(i + 11) % 2 = 0 AS is_member,
            'https://rides.example.org/receipts/' || md5(CAST(i AS VARCHAR)) AS receipt
        FROM range({rows}) AS r(i)
    """


_ZONES_SQL = f"""
    SELECT i AS zone, hash(i) % 100000 AS people, round((hash(i + 1) % 18000) / 100.0 - 90, 2) AS latitude,
        'zone ' || i AS zone_name
    FROM range({ZONES}) AS z(i)
"""


def _penstock(rides: Path, zones: Path, work: Path, memory_mb: int) -> Measured:
    recipe = work / "recipe.yaml"
    recipe.write_text(RECIPE.format(rides=rides, zones=zones))
    return run_measured(
        [
            *("timeout", str(TIMEOUT_S), sys.executable, "-m", "penstock.cli.main", "data", "prepare", recipe),
            *("--output", work / "penstock.parquet", "--memory-limit", f"{memory_mb}MB"),
        ],
        env={"PENSTOCK_HOME": str(work / "home")},
    )


def _peer(name: str, requirements: list[str], code: str, rides: Path, zones: Path, work: Path) -> Measured | None:
    python = peer_python(name, requirements)
    if python is None:
        return None
    return run_measured(["timeout", str(TIMEOUT_S), python, "-c", code, rides, zones, work / f"{name}.parquet"])


def _row(name: str, found: Measured | None, own: Measured) -> list[object]:
    """A row of the table; ratios only where both finished."""
    if found is None:
        return [name, "not installed", "", "", ""]
    if found.status:
        return [name, f"did not finish ({found.wall_s:.0f} s)", "", f"{found.peak_mb:,.0f}", ""]
    if own.status:
        return [name, f"{found.wall_s:.1f}", "", f"{found.peak_mb:,.0f}", ""]
    return [
        name,
        f"{found.wall_s:.1f}",
        f"{found.wall_s / own.wall_s:.2f}",
        f"{found.peak_mb:,.0f}",
        f"{found.peak_mb / own.peak_mb:.2f}",
    ]


if __name__ == "__main__":
    main(sys.argv[1:])

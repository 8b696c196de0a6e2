"""What a recipe of five steps in front of a model costs a row: the row evaluator, and pandas on the same work.

`python -m benchmarks.recipe_row`. Processor time of one thread; pandas in an environment of its own.
"""

import json
import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from benchmarks.measure import run_measured
from benchmarks.peers import peer_python
from benchmarks.report import report
from penstock.data.columns import ColumnBatch
from penstock.data.recipe.check import check_recipe
from penstock.data.recipe.recipe import Recipe
from penstock.data.recipe.serving import serving_plan
from penstock.data.schema import Column, DataType, Schema

BATCHES = (1, 100, 10_000)

SOURCE = Schema(
    (
        Column(name="fare", type=DataType.FLOAT, nullable=True),
        Column(name="km", type=DataType.FLOAT),
        Column(name="pickup", type=DataType.TIMESTAMP),
        Column(name="payment", type=DataType.STRING),
    )
)

RECIPE = (
    Recipe(source="rides")
    .fill({"fare": 17.75})
    .clip({"fare": {"low": 0, "high": 200}})
    .derive(fare_per_km="fare / km", hour="hour(pickup, 'Europe/Zurich')")
    .case({"payment": "lower"})
    .one_hot("payment", ["card", "cash"])
)

PANDAS = """
import json, sys, time
import pandas as pd
def steps(frame):
    frame = frame.assign(fare=frame["fare"].fillna(17.75).clip(0, 200))
    frame = frame.assign(
        fare_per_km=frame["fare"] / frame["km"], hour=frame["pickup"].dt.tz_convert("Europe/Zurich").dt.hour
    )
    payment = frame["payment"].str.lower()
    return frame.assign(payment_card=(payment == "card").astype(int), payment_cash=(payment == "cash").astype(int))
found = []
for rows in json.loads(sys.argv[1]):
    frame = pd.DataFrame({
        "fare": [12.5, None] * rows, "km": [2.73, 3.0] * rows, "payment": ["Cash", "card"] * rows,
        "pickup": pd.to_datetime(["2024-01-01T00:00:00Z"] * 2 * rows),
    })[:rows]
    count = max(20, 400 // rows)
    steps(frame)
    began = time.process_time()
    for _ in range(count):
        steps(frame)
    found.append((time.process_time() - began) / count / rows * 1e6)
print(json.dumps(found))
"""


def main(_: list[str]) -> None:
    program = serving_plan(check_recipe(RECIPE, source=SOURCE, tables={})).program
    own = [_cost_us(partial(program.apply, _batch(rows)), rows) for rows in BATCHES]
    python = peer_python("pandas", ["pandas==2.3.3", "pyarrow==22.0.0"])
    peer: list[float] = []
    if python is not None:
        peer = json.loads(run_measured([python, "-c", PANDAS, json.dumps(BATCHES)]).output)
    report(
        "recipe_row",
        "A recipe of five steps in front of a model: processor time a row, in µs",
        ["rows in a request", "Penstock", "pandas", "over Penstock"],
        [
            [
                f"{rows:,}",
                f"{cost:.2f}",
                *([f"{peer[i]:.2f}", f"{peer[i] / cost:.1f}"] if peer else ["not installed", ""]),
            ]
            for i, (rows, cost) in enumerate(zip(BATCHES, own, strict=True))
        ],
        ["fill, clip, derive (a quotient, and the hour in a time zone), case and one_hot, on columns in memory."],
    )


def _batch(rows: int) -> ColumnBatch:
    def repeated(values: list[object], dtype: object) -> np.ndarray:
        array = np.empty(rows, dtype=dtype)  # type: ignore[call-overload]
        array[:] = (values * rows)[:rows]
        return array

    return ColumnBatch(
        SOURCE,
        {
            "fare": repeated([12.5, float("nan")], np.float64),
            "km": repeated([2.73, 3.0], np.float64),
            "pickup": repeated([1_704_067_200_000_000], np.int64),
            "payment": repeated(["Cash", "card"], object),
        },
    )


def _cost_us(run: Callable[[], object], rows: int) -> float:
    count = max(50, 20_000 // rows)
    for _ in range(count // 10):
        run()
    began = time.process_time()
    for _ in range(count):
        run()
    return (time.process_time() - began) / count / rows * 1e6


if __name__ == "__main__":
    main(sys.argv[1:])

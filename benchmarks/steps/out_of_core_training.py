"""Two epochs of DNNRegressor over a Parquet file, with the time of each: arguments FILE ROWS CAP_MB BATCH."""

import json
import sys
import tempfile
import time
from pathlib import Path

import duckdb

from penstock.estimators import network_estimator
from penstock.estimators.dnn import DNNRegressor
from penstock.estimators.fitting import Watchers
from penstock.estimators.run_config import RunConfig
from penstock.estimators.table_input import table_input_fn

table, rows, cap_mb, batch = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
began = time.perf_counter()
with tempfile.TemporaryDirectory() as folder:
    with duckdb.connect() as connection:
        total = connection.execute(f"SELECT count(*) FROM '{table}'").fetchone()[0]
        source = table
        if rows < total:
            source = Path(folder) / "some.parquet"
            connection.execute(f"COPY (SELECT * FROM '{table}' LIMIT {rows}) TO '{source}' (FORMAT parquet)")
    steps = rows // batch
    marks: dict[int, float] = {}
    fit = network_estimator.fit

    def watched(*arguments, watchers: Watchers, **named):
        """Notes when losses of which steps are known; what else happens stays as it is."""

        def losses(first: int, values) -> None:
            marks[first + len(values)] = time.perf_counter()
            watchers.losses(first, values)

        started = Watchers(save=watchers.save, visit=watchers.visit, losses=losses, progress=watchers.progress)
        marks[0] = time.perf_counter()
        return fit(*arguments, watchers=started, **named)

    network_estimator.fit = watched
    model = DNNRegressor(hidden_units=[64, 64], model_dir=f"{folder}/model", config=RunConfig(show_progress=False))
    model.train(table_input_fn(str(source), label="y", batch_size=batch, memory_limit_mb=cap_mb), max_steps=2 * steps)

known = sorted(marks)


def rows_a_second(first: int, last: int) -> float:
    """Between the marks next to these steps."""
    start = min(known, key=lambda step: abs(step - first))
    stop = min(known, key=lambda step: abs(step - last))
    return (stop - start) * batch / (marks[stop] - marks[start])


print(
    json.dumps(
        {
            "rows": rows,
            "first_epoch": rows_a_second(0, steps),
            "second_epoch": rows_a_second(steps, 2 * steps),
            "before_s": marks[0] - began,
            "file_mb": table.stat().st_size / 1e6,
        }
    )
)

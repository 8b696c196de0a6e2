"""Batch prediction of a million rows: `penstock jobs submit prediction` next to plain pandas and ONNX Runtime."""

import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import duckdb
import numpy as np

from benchmarks.housing import COLUMNS, HIGHEST, make_bundle
from benchmarks.measure import Measured, run_measured
from benchmarks.report import report, version_of

PEER = """
import sys
import onnxruntime, pandas
onnx, kind, path, output = sys.argv[1:]
read = {"json": lambda: pandas.read_json(path, lines=True), "csv": lambda: pandas.read_csv(path),
        "parquet": lambda: pandas.read_parquet(path)}
frame = read[kind]()
session = onnxruntime.InferenceSession(onnx)
feed = {name: frame[name].to_numpy("float64")[:, None] for name in frame.columns}
(predictions,) = session.run(["predictions"], feed)
pandas.DataFrame({"predictions": predictions.tolist()}).to_json(output, orient="records", lines=True)
"""


def main(arguments: list[str]) -> None:
    """arguments: rows, default 1,000,000."""
    rows = int(arguments[0]) if arguments else 1_000_000
    table = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle = make_bundle(folder / "bundle")
        files = write_files(folder, rows)
        for kind, file in files.items():
            ours, theirs = [], []
            for turn in range(3):
                ours.append(penstock(bundle, kind, file, folder / f"out-{kind}-{turn}", folder / f"home-{kind}-{turn}"))
                if kind != "parquet" or has_pyarrow():
                    theirs.append(peer(bundle, kind, file, folder / f"peer-{kind}-{turn}.jsonl"))
            check(folder / f"out-{kind}-0", folder / f"peer-{kind}-0.jsonl", rows, has_peer=bool(theirs))
            mine = statistics.median(run.wall_s for run in ours)
            table.append([kind, "Penstock", f"{rows / mine:,.0f}", f"{mine:.1f}", f"{peak(ours):,.0f}", "1.0"])
            if theirs:
                other = statistics.median(run.wall_s for run in theirs)
                table.append(
                    [
                        *(kind, "pandas + ONNX Runtime", f"{rows / other:,.0f}", f"{other:.1f}"),
                        *(f"{peak(theirs):,.0f}", f"{other / mine:.1f}"),
                    ]
                )
    report(
        "batch_prediction",
        f"Batch prediction of {rows:,} rows of nine numbers",
        ["input", "by", "rows/s", "seconds", "peak MB of the largest process", "Penstock over it"],
        table,
        [
            "Medians of three, from the command to its end; for Penstock with submission, supervisor, two worker "
            "processes, sharded output, error counts and notes for a resumed run.",
            "The peer holds everything in memory, checks nothing, and runs ONNX Runtime on all cores.",
            f"Peers: {version_of('pandas', 'onnxruntime')}. Load average at the end {os.getloadavg()[0]:.1f}.",
        ],
    )


def write_files(folder: Path, rows: int) -> dict[str, Path]:
    values = np.round(np.random.default_rng(0).uniform(0, 1, size=(rows, len(COLUMNS))) * HIGHEST, 4)
    files = {kind: folder / f"in.{kind}" for kind in ("json", "csv", "parquet")}
    with files["csv"].open("w") as opened:
        opened.write(",".join(COLUMNS) + "\n")
        opened.writelines(",".join(map(str, row)) + "\n" for row in values.tolist())
    with files["json"].open("w") as opened:
        opened.writelines(json.dumps(dict(zip(COLUMNS, row, strict=True))) + "\n" for row in values.tolist())
    with duckdb.connect() as connection:
        connection.execute(f"COPY (FROM read_csv('{files['csv']}')) TO '{files['parquet']}' (FORMAT parquet)")
    return files


def penstock(bundle: str, kind: str, file: Path, output: Path, home: Path) -> Measured:
    command = [sys.executable, "-m", "penstock.cli.main", "jobs", "submit", "prediction", "batch"]
    command += ["--model-dir", bundle, "--data-format", kind, "--input-paths", str(file), "--output-path", str(output)]
    started = time.perf_counter()
    done = run_measured([*command, "--stream-logs"], env={"PENSTOCK_HOME": str(home)})
    assert done.status == 0, done
    wall = time.perf_counter() - started
    # The job's processes are not this command's children: the driver itself tells what one of them holds.
    alone = run_measured(
        [
            *(sys.executable, "-m", "penstock.flows.predict_batch"),
            json.dumps(
                {"uri": bundle, "dataFormat": kind.upper(), "inputPaths": [str(file)], "outputPath": f"{output}-1"}
            ),
        ]
    )
    assert alone.status == 0, alone
    return Measured(wall, alone.peak_mb, done.output, done.status)


def peer(bundle: str, kind: str, file: Path, output: Path) -> Measured:
    done = run_measured([sys.executable, "-c", PEER, f"{bundle}/model.onnx", kind, file, output])
    assert done.status == 0, done
    return done


def check(ours: Path, theirs: Path, rows: int, *, has_peer: bool) -> None:
    """All rows are there, and the answers agree."""
    found = [
        json.loads(line)["predictions"][0]
        for file in sorted(ours.glob("prediction.results-*"))
        for line in file.read_text().splitlines()
    ]
    assert len(found) == rows, len(found)
    if has_peer:
        expected = [json.loads(line)["predictions"][0] for line in theirs.read_text().splitlines()]
        assert np.allclose(found, expected, rtol=1e-4)


def peak(runs: list[Measured]) -> float:
    return max(run.peak_mb for run in runs)


def has_pyarrow() -> bool:
    from importlib.util import find_spec

    return find_spec("pyarrow") is not None


if __name__ == "__main__":
    main(sys.argv[1:])

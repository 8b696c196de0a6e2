"""The example trainer, run as a 2017 author ran it, in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from penstock.runtime.model import load_model

REPOSITORY = Path(__file__).resolve().parents[2]
RECORDS = REPOSITORY / "src" / "penstock" / "data" / "packaged" / "housing_records.json"


def test_the_labs_trainer_ends_in_plausible_prices(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "trainer.task", "--output_dir", str(tmp_path), "--job-dir", "ignored"],
        cwd=REPOSITORY / "examples" / "housing",
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(done.stdout.split("rmse ")[1].split(" ")[0].replace(",", "")) < 5_500
    (export,) = (tmp_path / "export" / "Servo").iterdir()
    model = load_model(str(export))
    lines = [json.loads(line) for line in RECORDS.read_text().splitlines() if line.strip()]
    records = [{column.name: line[column.name] for column in model.manifest.signature.inputs} for line in lines]
    prices = np.array(model.predict(model.decode(records))["predictions"])[:, 0]
    assert 22_000 < prices[0] < 28_000
    assert 30_000 < prices[1] < 50_000

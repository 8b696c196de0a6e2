"""Penstock's Auto estimator on one split: TRAIN.csv TEST.csv LABEL TASK SECONDS; predictions and seconds as JSON."""

import json
import sys
import tempfile
import time
from pathlib import Path

train, test, label, task, seconds = sys.argv[1:]
with tempfile.TemporaryDirectory() as folder:
    began = time.monotonic()
    from penstock import estimator

    kind = estimator.AutoRegressor if task == "regression" else estimator.AutoClassifier
    model = kind(time_budget_s=float(seconds), model_dir=f"{folder}/model")
    imported = time.monotonic()
    model.train(estimator.inputs.table_input_fn(train, label=label))
    trained = time.monotonic()
    bundle = model.export_saved_model(f"{folder}/export")
    spent = time.monotonic() - began
    answers = next(iter(model.predict(estimator.inputs.table_input_fn(test, label=label), yield_single_examples=False)))
    found = answers["predictions"][:, 0] if task == "regression" else answers["probabilities"][:, 1]
    members = [entry["candidate"] for entry in model.leaderboard() if entry["weight"]]
    size = (Path(bundle) / "model.onnx").stat().st_size / 1e6
print(
    json.dumps(
        {
            "predictions": found.tolist(),
            "seconds": spent,
            "members": members,
            "settings": f"ensemble of {', '.join(members)}; one ONNX graph of {size:.0f} MB; "
            f"imports {imported - began:.0f} s, training {trained - imported:.0f} s, "
            f"export {began + spent - trained:.0f} s",
        }
    )
)

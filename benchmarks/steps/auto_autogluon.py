"""AutoGluon's medium_quality on one split: TRAIN.csv TEST.csv LABEL TASK SECONDS; predictions and seconds as JSON."""

import json
import sys
import tempfile
import time

train, test, label, task, seconds = sys.argv[1:]
with tempfile.TemporaryDirectory() as folder:
    began = time.monotonic()
    from autogluon.tabular import TabularDataset, TabularPredictor, __version__

    predictor = TabularPredictor(
        label=label,
        problem_type="regression" if task == "regression" else "binary",
        eval_metric="root_mean_squared_error" if task == "regression" else "roc_auc",
        path=f"{folder}/model",
        verbosity=0,
    )
    predictor.fit(TabularDataset(train), presets="medium_quality", time_limit=float(seconds), num_cpus=2)
    spent = time.monotonic() - began
    rows = TabularDataset(test)
    if task == "regression":
        found = predictor.predict(rows)
    else:
        found = predictor.predict_proba(rows)[max(predictor.class_labels)]
    members = predictor.model_names()
print(
    json.dumps(
        {
            "predictions": found.tolist(),
            "seconds": spent,
            "members": members,
            "settings": f"AutoGluon {__version__}, medium_quality, trained {', '.join(members)}",
        }
    )
)

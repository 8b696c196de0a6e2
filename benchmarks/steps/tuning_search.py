"""Studies with TPE and with random search on five tasks. Arguments: trials, seeds. Prints the best losses as JSON."""

import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from penstock.flows.tune import tune_experiment
from penstock.settings import load_settings
from penstock.training.experiment import parse_experiment

SPACE = """
tuning:
  pruner: none
  evaluations: 1
  parameters:
    learning_rate: {min: 0.0003, max: 0.3, scale: log}
    weight_decay: {min: 0.0001, max: 3.0, scale: log}
    hidden_units: [[8, 8], [16, 8], [32, 16]]
    l2_regularization_strength: {min: 0.00001, max: 0.3, scale: log}
"""


def main(trials: int, seeds: int) -> None:
    found: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, text in write_tasks(Path(folder)).items():
            found[name] = {"tpe": [], "random": []}
            for algorithm, values in found[name].items():
                for seed in range(seeds):
                    settings = replace(
                        load_settings(), home=Path(folder) / "home", database_url=f"sqlite:///{folder}/home/store.db"
                    )
                    tuned = tune_experiment(
                        parse_experiment(text + SPACE, folder=folder),
                        settings=settings,
                        name=f"{name}-{algorithm}-{seed}",
                        changes={"trials": trials, "algorithm": algorithm, "seed": seed},
                        refit=False,
                        note=lambda message: print(message, file=sys.stderr),
                    )
                    assert tuned.best.value is not None
                    values.append(tuned.best.value)
            print(name, {key: float(np.mean(values)) for key, values in found[name].items()}, file=sys.stderr)
    print(json.dumps(found))


def write_tasks(folder: Path) -> dict[str, str]:
    """Experiments on tables that scikit-learn and Penstock bring."""
    from importlib.resources import files

    from sklearn import datasets

    tasks = {}
    for name, loaded, kind in (
        ("diabetes", datasets.load_diabetes(as_frame=True), "Regressor"),
        ("breast cancer", datasets.load_breast_cancer(as_frame=True), "Classifier"),
        ("wine", datasets.load_wine(as_frame=True), "Classifier"),
        ("friedman", None, "Regressor"),
    ):
        if loaded is None:
            x, y = datasets.make_friedman1(500, noise=1.0, random_state=0)
            header = ",".join([*(f"x{i}" for i in range(x.shape[1])), "target"])
            np.savetxt(folder / f"{name}.csv", np.column_stack([x, y]), delimiter=",", header=header, comments="")
        else:
            loaded.frame.to_csv(folder / f"{name}.csv", index=False)
        tasks[name] = experiment(f"{name}.csv", "target", kind)
    tasks["housing"] = experiment(str(files("penstock.data") / "packaged" / "housing_lab.csv"), "MEDV", "Regressor")
    return tasks


def experiment(source: str, label: str, kind: str) -> str:
    task = "regression" if kind == "Regressor" else "auto"
    return f"""
data: {json.dumps(source)}
label: {label}
task: {task}
estimator: {{type: DNN{kind}}}
training: {{max_steps: 150, batch_size: all}}
split: {{evaluation: 0.3}}
"""


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))

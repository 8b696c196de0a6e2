"""The 2017 lab's network on rows it has not seen: 5 folds by 3 seeds, next to scikit-learn's MLP of the same size."""

import tempfile
import warnings
from collections.abc import Callable
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import report, version_of

FEATURES = ("CRIM", "ZN", "INDUS", "NOX", "RM", "AGE", "DIS", "TAX", "PTRATIO")
LABEL = "MEDV"
FOLDS = 5
SEEDS = (0, 1, 2)
STEPS = 3000

Array = NDArray[np.float64]
Predict = Callable[[Array, Array, Array, int], Array]


def penstock(train_x: Array, train_y: Array, test_x: Array, seed: int) -> Array:
    """As the lab: numeric columns, two layers of ten, the whole table in each of 3,000 steps."""
    from penstock import estimator, feature_column

    with tempfile.TemporaryDirectory() as folder:
        regressor = estimator.DNNRegressor(
            feature_columns=[feature_column.numeric_column(name) for name in FEATURES],
            hidden_units=[10, 10],
            model_dir=folder,
            config=estimator.RunConfig(tf_random_seed=seed),
        )
        columns = dict(zip(FEATURES, train_x.T, strict=True))
        regressor.train(lambda: (columns, train_y), max_steps=STEPS)
        held_out = dict(zip(FEATURES, test_x.T, strict=True))
        answers = regressor.predict(lambda: held_out)
        return np.array([float(answer["predictions"][0]) for answer in answers])


def scikit_learn(train_x: Array, train_y: Array, test_x: Array, seed: int) -> Array:
    """The same net, standardized on both ends, 3,000 full-batch Adam steps, other settings as they come."""
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.neural_network import MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    network = MLPRegressor(
        hidden_layer_sizes=(10, 10),
        max_iter=STEPS,
        batch_size=len(train_x),
        tol=0.0,
        n_iter_no_change=STEPS,
        random_state=seed,
    )
    model = TransformedTargetRegressor(make_pipeline(StandardScaler(), network), transformer=StandardScaler())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(train_x, train_y)
    return np.asarray(model.predict(test_x))


def mean_price(train_x: Array, train_y: Array, test_x: Array, seed: int) -> Array:
    return np.full(len(test_x), train_y.mean())


def errors(predict: Predict, x: Array, y: Array) -> list[float]:
    """Root mean square error on each held-out fold, dollars."""
    found = []
    for seed in SEEDS:
        order = np.random.default_rng(seed).permutation(len(y))
        for fold in range(FOLDS):
            test = order[fold::FOLDS]
            train = np.setdiff1d(order, test, assume_unique=True)
            answers = predict(x[train], y[train], x[test], seed)
            found.append(float(np.sqrt(np.mean((answers - y[test]) ** 2))))
    return found


def main(arguments: list[str]) -> None:
    with as_file(files("penstock.data").joinpath("packaged", "housing_lab.csv")) as path:
        header = Path(path).read_text().splitlines()[0].split(",")
        table = np.loadtxt(path, delimiter=",", skiprows=1)
    x = table[:, [header.index(name) for name in FEATURES]]
    y = table[:, header.index(LABEL)]
    rows = []
    ours = 0.0
    for name, predict in (("Penstock", penstock), ("scikit-learn MLP", scikit_learn), ("mean price", mean_price)):
        found = errors(predict, x, y)
        mean = float(np.mean(found))
        ours = ours or mean
        rows.append([name, f"{mean:,.0f}", f"{np.std(found):,.0f}", f"{mean / ours:.2f}"])
    report(
        "lab",
        "The lab's network: error on held-out rows, dollars",
        ["model", "RMSE, mean of 15", "standard deviation", "over Penstock"],
        rows,
        [
            f"{FOLDS} folds by {len(SEEDS)} seeds, nine features, hidden layers 10 and 10, {STEPS:,} full-batch steps.",
            f"Peer: {version_of('scikit-learn')}, inputs and label standardized, no early stopping. "
            "The talk of 2017 showed about $8,000.",
        ],
    )


if __name__ == "__main__":
    main([])

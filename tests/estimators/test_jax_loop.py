from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from penstock.estimators.backend import keras
from penstock.estimators.jax_loop import STEPS_PER_CALL, JaxLoop
from penstock.estimators.loop import Hyperparameters, Program, Rows, TrainState, Updates
from penstock.estimators.losses import mean_loss

SLOW = pytest.mark.slow


def make_program(*, dropout: bool = False) -> Program:
    inputs = [keras.Input((3,), name="numbers")]
    hidden = keras.layers.Dense(8, activation="relu", kernel_initializer=keras.initializers.HeNormal(seed=1))(inputs[0])
    if dropout:
        hidden = keras.layers.Dropout(0.5, seed=2)(hidden)
    model = keras.Model(inputs, keras.layers.Dense(1, kernel_initializer="zeros")(hidden))
    optimizer = keras.optimizers.Adam(0.01)
    optimizer.build(model.trainable_variables)
    return Program(
        model=model,
        updates=(Updates(optimizer, tuple(range(4))),),
        loss=mean_loss(lambda outputs, labels: keras.ops.square(outputs - labels)),
        decayed=(0, 2),
        has_decay=True,
        has_penalty=False,
    )


def make_rows(count: int = 50) -> Rows:
    rng = np.random.default_rng(0)
    dense = rng.normal(size=(count, 3)).astype(np.float32)
    return Rows((dense,), (dense @ [[1.0], [2.0], [-1.0]]).astype(np.float32))


def run(program: Program, groups: list[int], order: Any = None, rows: Rows | None = None) -> tuple[TrainState, Any]:
    loop = JaxLoop(program)
    placed, state = loop.place(rows or make_rows()), loop.start(program.state())
    losses, done = [], 0
    for size in groups:
        state, loss = loop.run(
            state,
            placed,
            order=None if order is None else order[done : done + size],
            learning_rates=np.full(size, 0.01, np.float32),
            hyperparameters=Hyperparameters(weight_decay=0.01),
        )
        losses.append(np.asarray(loss))
        done += size
    return loop.fetch(state, done), np.concatenate(losses)


@pytest.mark.parametrize(
    ("batched", "dropout"),
    [(True, True), (False, False), pytest.param(True, False, marks=SLOW), pytest.param(False, True, marks=SLOW)],
)
def test_the_result_does_not_depend_on_how_steps_are_grouped(batched: bool, dropout: bool) -> None:
    order = np.random.default_rng(1).integers(0, 50, (1300, 16)).astype(np.int32) if batched else None
    whole, losses = run(make_program(dropout=dropout), [1300], order)
    pieces, other_losses = run(make_program(dropout=dropout), [1, 2, 97, 1, 1199], order)
    assert whole.step == pieces.step == 1300 > STEPS_PER_CALL
    assert np.array_equal(losses, other_losses)
    for mine, theirs in zip(whole.trainable + whole.optimizer, pieces.trainable + pieces.optimizer, strict=True):
        assert np.array_equal(mine, theirs)


@pytest.mark.parametrize("batch_size", [7, 3000, 40_000], ids=["many steps gathered", "some", "one"])
def test_every_step_sees_the_rows_of_its_order(batch_size: int) -> None:
    steps = 70
    rows = replace(make_rows(), weights=np.random.default_rng(2).uniform(0.5, 2.0, 50).astype(np.float32))
    order = np.random.default_rng(1).integers(0, 50, (steps, batch_size)).astype(np.int32)
    _, losses = run(make_program(), [steps], order, rows)
    program = make_program()
    loop, state = JaxLoop(program), program.state()
    alone: list[float] = []
    for picked in order:
        moved, loss = loop.run(
            loop.start(state),
            loop.place(rows.take(picked)),
            order=None,
            learning_rates=np.full(1, 0.01, np.float32),
            hyperparameters=Hyperparameters(weight_decay=0.01),
        )
        state = loop.fetch(moved, state.step + 1)
        alone.extend(np.asarray(loss))
    assert losses == pytest.approx(np.array(alone), rel=1e-4)


def test_steps_learn_and_report_the_loss_before_each() -> None:
    rows = make_rows()
    assert rows.labels is not None
    _, losses = run(make_program(), [600])
    assert losses[0] == pytest.approx(np.square(rows.labels).mean(), rel=1e-5)
    assert losses[-1] < 0.01


def test_row_weights_count() -> None:
    rows = make_rows()
    assert rows.labels is not None
    wrong = np.concatenate([rows.labels[:25], rows.labels[25:] + 100])
    weights = np.concatenate([np.ones(25), np.zeros(25)]).astype(np.float32)
    half = rows.take(slice(0, 25))
    _, all_losses = run(make_program(), [50], rows=Rows(rows.inputs, wrong, weights))
    _, half_losses = run(make_program(), [50], rows=half)
    assert all_losses == pytest.approx(half_losses, rel=1e-3)


def test_outputs_do_not_depend_on_how_many_rows_are_asked_for() -> None:
    program = make_program()
    loop, state = JaxLoop(program), run(make_program(), [20])[0]
    rows = make_rows(9000)
    whole = loop.outputs(state, rows)
    assert whole.shape == (9000, 1)
    assert loop.outputs(state, rows.take(slice(0, 5))) == pytest.approx(whole[:5], abs=1e-6)

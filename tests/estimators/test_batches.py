import numpy as np

from penstock.estimators.batches import BatchOrder, FullBatch, ShuffledBatches


def test_every_epoch_holds_every_row_once_though_batches_span_epochs() -> None:
    order = ShuffledBatches(rows=10, batch_size=4, seed=3)
    seen = order.take(0, 5).reshape(-1)
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))
    assert seen[:10].tolist() != seen[10:].tolist()


def test_a_step_does_not_depend_on_where_reading_began() -> None:
    order = ShuffledBatches(rows=101, batch_size=8, seed=0)
    whole = order.take(0, 60)
    assert np.array_equal(whole[37:60], order.take(37, 23))


def test_seeds_differ() -> None:
    first, second = (ShuffledBatches(rows=50, batch_size=10, seed=seed).take(0, 5) for seed in (0, 1))
    assert not np.array_equal(first, second)


def test_epochs_bound_the_steps() -> None:
    assert ShuffledBatches(rows=100, batch_size=30, seed=0, epochs=2).last_step == 6
    assert ShuffledBatches(rows=5, batch_size=30, seed=0, epochs=1).last_step == 1
    whole: BatchOrder = FullBatch(7)
    assert whole.last_step is None
    assert whole.take(0, 3) is None

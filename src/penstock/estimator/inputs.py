"""Input functions, by the names of `tf.estimator.inputs`, and such that read tables."""

from penstock.estimators.array_input import numpy_input_fn, pandas_input_fn
from penstock.estimators.photo_input import photo_input_fn, photo_input_fns
from penstock.estimators.table_input import table_input_fn, table_input_fns

__all__ = [
    "numpy_input_fn",
    "pandas_input_fn",
    "photo_input_fn",
    "photo_input_fns",
    "table_input_fn",
    "table_input_fns",
]

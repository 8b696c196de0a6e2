"""Training rows as LightGBM takes them: one matrix of all blocks, in bins, with labels and weights."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from penstock.errors import TrainingError
from penstock.estimators.examples import Examples
from penstock.estimators.preparation import class_factors, encode_rows
from penstock.estimators.ring import Ring
from penstock.estimators.setup import Setup
from penstock.estimators.tree_ring import share_of, wait_for_port
from penstock.estimators.trees_body import tree_features, tree_matrix

__all__ = ["TreeRows"]


@dataclass(frozen=True, kw_only=True)
class TreeRows:
    """parameters: of LightGBM. ring: of the processes that grow one ensemble."""

    setup: Setup
    examples: Examples
    class_weight: Mapping[str, float] | str | None
    parameters: Mapping[str, Any]
    ring: Ring

    def own(self, index: NDArray[Any]) -> Any:
        """Of these rows, those that this process grows on, in the bins of all."""
        rows = self._dataset(index)
        if self.ring.is_alone:
            return rows
        # Now: later it would be binned together with the others, each knowing its own rows only.
        rows.construct()
        own = self._dataset(share_of(self.ring, index), reference=rows)
        wait_for_port(self.parameters)
        self.ring.wait_for_all()  # whoever comes first would else wait for a connection no longer than LightGBM does
        return own

    def all(self) -> Any:
        """As `own`, of all rows."""
        return self.own(np.arange(self.examples.features.rows))

    def held_out(self, index: NDArray[Any], rows: Any) -> Any:
        """These rows in the bins of `rows`."""
        return self._dataset(index, reference=rows)

    def _dataset(self, index: NDArray[Any], reference: Any = None) -> Any:
        examples, head = self.examples, self.setup.head
        assert examples.labels is not None
        features = tree_features(self.setup)
        blocks = features.blocks
        _refuse_what_cannot_fit(len(index), sum(block.width for block in blocks))
        labels = head.encode(examples.labels[index])
        factors = class_factors(head, labels, self.class_weight)
        weights = None if examples.weights is None else examples.weights[index]
        if factors is not None:
            weights = factors if weights is None else weights * factors
        categorical, place = [], 0
        for block in blocks:
            if block.kind == "ids":
                categorical.append(place)
            place += block.width
        return lightgbm.Dataset(
            tree_matrix(blocks, encode_rows(features, examples, index)),
            labels.reshape(len(labels)),
            weight=weights,
            categorical_feature=categorical,
            reference=reference,
            params=dict(self.parameters),
            free_raw_data=False,
        )


def _refuse_what_cannot_fit(rows: int, features: int) -> None:
    """LightGBM holds the values it bins and a byte a bin."""
    needed = rows * features * 5
    try:
        available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return
    if needed > available:
        raise TrainingError(
            f"growing trees on {rows:,} rows of {features} features needs {needed / 1e9:.1f} GB of memory and "
            f"{available / 1e9:.1f} GB are free; use a network, which reads in batches, or fewer rows"
        )

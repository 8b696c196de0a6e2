"""Warm start: a new training that begins with the features and weights of an earlier one."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np

from penstock.errors import ConfigError, NotFoundError
from penstock.estimators.checkpoints import Checkpoint, CheckpointFolder
from penstock.estimators.loop import TrainState
from penstock.estimators.model_folder import ModelFolder
from penstock.estimators.setup import Setup, load_setup

__all__ = ["describe_source", "warm_checkpoint", "warm_setup", "warm_state"]

_OF_THE_HEAD = ("loss", "huber_delta", "quantile", "label_dimension", "n_classes", "label_vocabulary")


def describe_source(source: Any) -> str | None:
    """The folder that `warm_start_from` names: a path, a URI, or an estimator's `model_dir`."""
    return None if source is None else str(getattr(source, "model_dir", source))


def warm_setup(source: Any, *, estimator: str, parameters: Mapping[str, Any], rows: int, digest: str | None) -> Setup:
    """The setup of the earlier training, under the arguments of the new one.

    Features and head are taken over as they are: a weight keeps its meaning only while the word or number that it
    belongs to does. Raises NotFoundError where nothing is trained there, ConfigError for another estimator, other
    columns or another loss.
    """
    folder = ModelFolder(describe_source(source) or "")
    setup = load_setup(folder.path)
    if setup is None:
        raise NotFoundError(f"warm_start_from is {folder.place!r}, where nothing is trained; name a model_dir")
    if setup.estimator != estimator:
        raise ConfigError(f"warm_start_from holds a {setup.estimator}, and this is a {estimator}; expected the same")
    columns = parameters.get("feature_columns")
    if columns is not None and columns != setup.parameters.get("feature_columns"):
        raise ConfigError(
            f"warm_start_from was trained on the columns {setup.parameters.get('feature_columns')}, and this estimator "
            f"has {columns}; expected the same"
        )
    for name in _OF_THE_HEAD:
        wanted, found = parameters.get(name), setup.parameters.get(name)
        if wanted is not None and wanted != found:
            raise ConfigError(
                f"warm_start_from was trained with {name} {found!r}, and this estimator has {wanted!r}; expected the "
                "same: what its numbers mean depends on it"
            )
    return msgspec.structs.replace(
        setup,
        parameters=dict(parameters),
        rows=rows,
        data_digest=digest,
        weight_column=parameters.get("weight_column"),
    )


def warm_checkpoint(source: Any) -> Checkpoint:
    """The newest checkpoint there. Raises NotFoundError where there is none."""
    folder = ModelFolder(describe_source(source) or "")
    checkpoint = CheckpointFolder(folder.path).latest()
    if checkpoint is None:
        raise NotFoundError(f"warm_start_from is {folder.place!r}, which has no whole checkpoint")
    return checkpoint


def warm_state(source: Any, state: TrainState) -> TrainState:
    """`state` with the weights of the newest checkpoint there; its optimizer begins anew.

    Raises NotFoundError where there is none, ConfigError where a weight is of another shape.
    """
    checkpoint = warm_checkpoint(source)
    # The weights that its training ended with: the best where it stopped early.
    prefix = "best/" if "best/trainable/0" in checkpoint.arrays else ""

    def weights(part: str, expected: tuple[Any, ...]) -> tuple[Any, ...]:
        found = tuple(checkpoint.arrays.get(f"{prefix}{part}/{i}", np.empty(0)) for i in range(len(expected)))
        for have, want in zip(found, expected, strict=True):
            if have.shape != want.shape:
                raise ConfigError(
                    f"warm_start_from holds weights of shape {list(have.shape)} where this network has "
                    f"{list(want.shape)}; expected the same layers"
                )
        return found

    return replace(
        state,
        trainable=weights("trainable", state.trainable),
        # Dropout rates and random states are the new training's own.
        non_trainable=state.non_trainable
        if len(state.non_trainable) == 0
        else _moving(weights("non_trainable", state.non_trainable), state.non_trainable),
    )


def _moving(found: tuple[Any, ...], own: tuple[Any, ...]) -> tuple[Any, ...]:
    """Vectors of floats (moving means and variances) as found, everything else as it is."""
    return tuple(
        have if mine.ndim == 1 and mine.dtype.kind == "f" else mine for have, mine in zip(found, own, strict=True)
    )

"""What a search keeps in the model folder: each trained fold of each candidate, so that none is trained twice."""

from pathlib import Path

from penstock.errors import NotFoundError, TrainingError
from penstock.estimators.auto.candidate import FoldFit
from penstock.estimators.checkpoints import Checkpoint, CheckpointFolder
from penstock.estimators.preparation import notice

__all__ = ["Book"]

_SCORES = "scores"


class Book:
    """The folder `candidates/` of a model folder: for each candidate one of checkpoints, a fold each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "candidates"

    def keep(self, candidate: str, fit: FoldFit) -> None:
        facts = {
            "seconds": fit.seconds,
            "once_s": fit.once_s,
            "size": fit.size,
            "values": fit.values,
            "facts": dict(fit.facts),
        }
        arrays = {_SCORES: fit.scores, **{f"model/{name}": array for name, array in fit.arrays.items()}}
        self._of(candidate).save(Checkpoint(fit.fold + 1, arrays, facts))

    def kept(self, candidate: str) -> dict[int, FoldFit]:
        """By fold; a damaged one is as if it were not there."""
        found = {}
        for step in self._of(candidate).steps():
            try:
                found[step - 1] = _fit_of(self._of(candidate).load(step))
            except (TrainingError, NotFoundError) as error:
                notice(f"{error}; that fold is trained again")
        return found

    def fit(self, candidate: str, fold: int) -> FoldFit:
        """Raises NotFoundError where it is not kept, TrainingError where it is damaged."""
        return _fit_of(self._of(candidate).load(fold + 1))

    def _of(self, candidate: str) -> CheckpointFolder:
        return CheckpointFolder(self._folder / candidate, keep=0)


def _fit_of(checkpoint: Checkpoint) -> FoldFit:
    facts = checkpoint.facts
    prefix = "model/"
    return FoldFit(
        fold=checkpoint.step - 1,
        scores=checkpoint.arrays[_SCORES],
        seconds=float(facts["seconds"]),
        once_s=float(facts["once_s"]),
        size=int(facts["size"]),
        values=int(facts["values"]),
        arrays={
            name.removeprefix(prefix): array for name, array in checkpoint.arrays.items() if name.startswith(prefix)
        },
        facts=facts["facts"],
    )

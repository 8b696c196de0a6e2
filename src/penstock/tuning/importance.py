"""How much each parameter mattered for the trials that did well (PED-ANOVA, Watanabe et al. 2023, as in Optuna)."""

from collections.abc import Sequence

import optuna

from penstock.tuning.search_space import distribution_of, sampler_values
from penstock.tuning.specification import Specification
from penstock.tuning.trial import Trial, TrialState

__all__ = ["importances"]

_LEAST_TRIALS = 4


def importances(specification: Specification, trials: Sequence[Trial]) -> dict[str, float]:
    """Share of each parameter that every trial had, largest first; nothing where too few trials went to their end."""
    ended = [trial for trial in trials if trial.state is TrialState.SUCCEEDED]
    if len(ended) < _LEAST_TRIALS:
        return {}
    study = optuna.create_study(direction=optuna.study.StudyDirection[specification.goal])
    named = {parameter.name: parameter for parameter in specification.parameters}
    for trial in ended:
        study.add_trial(
            optuna.create_trial(
                params=sampler_values(trial.parameters, specification.parameters),
                distributions={name: distribution_of(named[name]) for name in trial.parameters},
                value=trial.value,
            )
        )
    try:
        found = optuna.importance.get_param_importances(
            study, evaluator=optuna.importance.PedAnovaImportanceEvaluator()
        )
    except (RuntimeError, ValueError):  # all trials alike, or no parameter that all of them have
        return {}
    return {name: float(share) for name, share in found.items()}

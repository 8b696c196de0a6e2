"""A Ray cluster becomes the host of an experiment's trials: the experiment is shipped with each, its data is not."""

import json
import re
from pathlib import Path

import msgspec

from penstock.jobs.ray_client import RayJobs
from penstock.jobs.ray_plan import EXPERIMENT_NAME
from penstock.jobs.ray_trials import RayTrials, trial_plan
from penstock.jobs.training_input import TrainingInput
from penstock.jobs.trial_host import TrialLaunch
from penstock.settings import Settings
from penstock.store.blobs import replace_file
from penstock.training.experiment import Experiment
from penstock.tuning.trial import Trial

__all__ = ["host_trials", "launch_of"]

_MODULE = "penstock.flows.run_trial"
_MACHINE = "n1-standard-1"
"""A trial asks for one core, so that as many run at a time as the cluster has, if so many may."""


def host_trials(
    experiment: Experiment, *, cluster: str, study: str, metric: str, folder: Path, settings: Settings
) -> RayTrials:
    """experiment: with the tuning section as it is to be. folder: of the study.

    Raises UsageError for an address that is none, ServiceError where the cluster does not answer.
    """
    import yaml

    ray = RayJobs(cluster, token=settings.ray_token)
    ray.version()
    training = TrainingInput(scale_tier="CUSTOM", master_type=_MACHINE, python_module=_MODULE)
    plan = trial_plan(re.sub(r"\W", "_", study, flags=re.ASCII)[:80], training, settings=settings)
    file = folder / EXPERIMENT_NAME
    file.parent.mkdir(parents=True, exist_ok=True)
    replace_file(file, yaml.safe_dump(msgspec.to_builtins(experiment), sort_keys=False).encode())
    return RayTrials(ray, cluster, plan, tag=metric, folder=folder, experiment=str(file), listen=lambda *_: None)


def launch_of(trial: Trial) -> TrialLaunch:
    return TrialLaunch(number=trial.number, arguments=[EXPERIMENT_NAME, json.dumps(trial.parameters)])

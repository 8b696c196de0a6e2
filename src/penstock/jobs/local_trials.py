"""Trials as processes of this machine, run side by side in the folder that their driver runs in."""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from penstock.jobs.crew import Crew, Launch
from penstock.jobs.metric_sources import TrialReports
from penstock.jobs.trial_host import Sighting, TrialHost, TrialLaunch

__all__ = ["LocalTrials"]

_TRIAL_MODULE = "penstock.jobs.trial_process"
_LISTEN_S = 0.25
_GRACE_S = 5.0


@dataclass
class _Trial:
    """A trial that was begun. end_file: there once its trainer came to its end, maybe before this process began."""

    end_file: Path
    reports: TrialReports
    is_stopped: bool = False


class LocalTrials:
    """module: the trainer's. environment: the job's variables. tag: of the metric. folder: of the study.

    listen: told what trainers print, with number, message and severity.
    """

    def __init__(
        self,
        module: str,
        *,
        environment: Mapping[str, str],
        tag: str,
        folder: Path,
        listen: Callable[[int, str, str], None],
    ) -> None:
        self._module = module
        self._environment = environment
        self._tag = tag
        self._folder = folder
        self._listen = listen
        self._crew = Crew(self._hear)
        self._trials: dict[int, _Trial] = {}

    def start(self, launch: TrialLaunch) -> None:
        folder = self._folder / "trials" / str(launch.number)
        metric_file, end_file = folder / "hypertune" / "output.metrics", folder / "ended"
        metric_file.parent.mkdir(parents=True, exist_ok=True)
        has_ended = end_file.exists()
        if not has_ended:
            metric_file.unlink(missing_ok=True)
        reports = TrialReports(metric_file, [Path(one) for one in launch.folders], self._tag)
        self._trials[launch.number] = _Trial(end_file, reports)
        if not has_ended:
            command = [sys.executable, "-P", "-m", _TRIAL_MODULE, str(end_file), self._module, *launch.arguments]
            variables = _variables(self._environment, launch, tag=self._tag, metric_file=metric_file)
            self._crew.start(Launch(_task_name(launch.number), command, variables, str(Path.cwd())))

    def wait(self) -> None:
        self._crew.wait(_LISTEN_S)

    def look(self, number: int) -> Sighting:
        trial, name = self._trials[number], _task_name(number)
        # Asked before the last look, which then sees all that was reported.
        has_ended, exit_ = trial.end_file.exists(), self._crew.exits.get(name)
        reports = trial.reports.new()
        if exit_ is None and (name in self._crew.running or not has_ended):
            return Sighting(reports=reports)
        del self._trials[number]
        if exit_ is None or has_ended or trial.is_stopped or exit_.status == 0:
            return Sighting(reports=reports, ending="")
        return Sighting(reports=reports, ending=exit_.reason, is_lost=exit_.status < 0)

    def stop(self, number: int) -> None:
        self._trials[number].is_stopped = True
        self._crew.stop(grace_s=_GRACE_S, tasks=[_task_name(number)])

    def close(self) -> None:
        self._crew.stop(grace_s=_GRACE_S)
        self._crew.close()

    def _hear(self, task_name: str, message: str, *, severity: str) -> None:
        self._listen(int(task_name.rpartition("-")[2]), message, severity)


def _task_name(number: int) -> str:
    return f"trial-{number}"


def _variables(environment: Mapping[str, str], launch: TrialLaunch, *, tag: str, metric_file: Path) -> dict[str, str]:
    """The job's variables as this trial is to see them."""
    number = str(launch.number)
    job = {**json.loads(environment["CLOUD_ML_JOB"]), "args": list(launch.arguments)}
    if launch.job_dir:
        job["job_dir"] = launch.job_dir
    config = json.loads(environment.get("TF_CONFIG", "{}"))
    config["task"] = {**config.get("task", {}), "trial": number}
    config["job"] = job
    return {
        **environment,
        "TF_CONFIG": json.dumps(config),
        "CLOUD_ML_JOB": json.dumps(job),
        "CLOUD_ML_TRIAL_ID": number,
        "CLOUD_ML_HP_METRIC_TAG": tag,
        "CLOUD_ML_HP_METRIC_FILE": str(metric_file),
    }


_: type[TrialHost] = LocalTrials

"""One replica on a node of a cluster: installs, runs the trainer, says what it says, and leaves nothing behind.

`python -m penstock.jobs.replica` reads a ReplicaRequest from standard input and writes Answers, one JSON object a line.
When its input closes, because the process that started it has ended however it ended, it ends the trainer with all that
descends from it. It detaches for that: Ray kills the children of its workers, and leaves their grandchildren.
"""

import os
import select
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from penstock.errors import PenstockError
from penstock.jobs.crew import Crew, Launch
from penstock.jobs.installation import Runtime, install_plain_wheels, request_installation
from penstock.jobs.local_runner import inherited_environment
from penstock.jobs.logs import timestamp_of
from penstock.jobs.metric_sources import TrialReports
from penstock.jobs.processes import MARKER_VARIABLE, become_subreaper
from penstock.jobs.ray_plan import Answer, ReplicaRequest
from penstock.jobs.redaction import Redactor

__all__ = ["main"]

_LISTEN_S = 0.25


class _Stopped(Exception):  # noqa: N818
    pass


def main() -> int:
    """Runs one replica; exit status 0 once its end has been told, whatever it was."""
    if os.fork():
        os._exit(0)
    os.setsid()
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # Ray's workers may ignore it, and then no child has a status
    become_subreaper()
    request = msgspec.json.decode(sys.stdin.buffer.readline(), type=ReplicaRequest)
    environment = dict(os.environ)
    clean = Redactor(environment).clean

    def listen(task_name: str, message: str, *, severity: str) -> None:
        moment = timestamp_of(time.time())
        _say(Answer(task_name=task_name, message=clean(message), severity=severity, time=moment))

    crew = Crew(listen)
    try:
        _run(crew, request, environment)
    except PenstockError as error:
        _say(Answer(failure=clean(str(error)), exit_status=1))
    except _Stopped:
        pass
    finally:
        crew.stop(grace_s=request.grace_s)
    return 0


def _run(crew: Crew, request: ReplicaRequest, environment: Mapping[str, str]) -> None:
    folder = Path(request.folder)
    folder.mkdir(parents=True, exist_ok=True)
    inherited = {**inherited_environment(environment), MARKER_VARIABLE: request.marker}
    runtime = install_plain_wheels(request.packages, folder=folder)
    if runtime is None:
        command = request_installation(request.packages, folder=folder, home=Path(request.home))
        installer = f"{request.task_name}-installation"
        if _await(crew, Launch(installer, command, inherited, str(folder))) != 0:
            _say(Answer(failure=f"The packages could not be installed for {request.task_name}.", exit_status=1))
            return
        runtime = msgspec.json.decode((folder / "runtime.json").read_bytes(), type=Runtime)
    variables = {**inherited, **request.variables, "PYTHONPATH": os.pathsep.join(runtime.paths)}
    command = [runtime.python, "-P", "-m", request.module, *request.arguments]
    reports = None
    if request.trial is not None:
        metric_file = folder / "hypertune" / "output.metrics"
        metric_file.parent.mkdir(exist_ok=True)
        variables |= {"CLOUD_ML_HP_METRIC_TAG": request.trial.tag, "CLOUD_ML_HP_METRIC_FILE": str(metric_file)}
        reports = TrialReports(metric_file, [folder / one for one in request.trial.folders], request.trial.tag)
    status = _await(crew, Launch(request.task_name, command, variables, str(folder)), reports)
    _say(Answer(task_name=request.task_name, exit_status=status))


def _await(crew: Crew, launch: Launch, reports: TrialReports | None = None) -> int:
    crew.start(launch)
    while True:
        has_ended = launch.task_name in crew.exits  # before the last look, which then sees everything
        if reports is not None and (new := reports.new()):
            _say(Answer(task_name=launch.task_name, reports=[(step, repr(value)) for step, value in new]))
        if has_ended:
            return crew.exits[launch.task_name].status
        crew.wait(_LISTEN_S)
        if select.select([0], [], [], 0)[0] and not os.read(0, 1):
            raise _Stopped


def _say(answer: Answer) -> None:
    # With nobody listening any more, which is noticed elsewhere, the clearing up still has to go on.
    with suppress(BrokenPipeError):
        sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
        sys.stdout.buffer.flush()


def _stop(_number: int, _frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # one request is enough; a second must not break the clearing up
    raise _Stopped


if __name__ == "__main__":
    sys.exit(main())

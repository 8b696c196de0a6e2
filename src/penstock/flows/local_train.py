"""Runs a trainer package on this machine as ML Engine's `local train` did: its module, its arguments, a TF_CONFIG."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from penstock.errors import NotFoundError, UsageError

__all__ = ["run_trainer"]

_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def run_trainer(
    module_name: str, *, package_path: str | None = None, job_dir: str | None = None, arguments: Sequence[str] = ()
) -> int:
    """Runs `python -m module_name ARGS [--job-dir JOB_DIR]` beside the package and returns its exit status.

    package_path: the package's folder; by default the one of the module's first name, here.
    """
    if not _MODULE.fullmatch(module_name):
        raise UsageError(f"--module-name is {module_name!r}; expected dotted names such as trainer.task")
    package = module_name.partition(".")[0]
    folder = Path(package_path or package).resolve()
    if not folder.is_dir():
        raise NotFoundError(f"there is no package folder {str(folder)!r}; name it with --package-path")
    if folder.name != package:
        raise UsageError(
            f"module {module_name!r} is of package {package!r}, but --package-path ends in {folder.name!r}"
        )
    if not (folder / "__init__.py").is_file():
        raise NotFoundError(f"{str(folder)!r} has no __init__.py, so it is not a package; add an empty one")
    job_flags = [] if job_dir is None else ["--job-dir", job_dir]
    trainer_config = {"cluster": {}, "task": {}, "job": {"job_name": module_name, "args": list(arguments)}}
    command = [sys.executable, "-m", module_name, *arguments, *job_flags]
    process = subprocess.Popen(
        command, env={**os.environ, "TF_CONFIG": json.dumps(trainer_config), "PYTHONPATH": _with(folder.parent)}
    )
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            # The terminal sent the trainer the same signal; it saves a checkpoint and ends.
            continue


def _with(folder: Path) -> str:
    """PYTHONPATH with this folder in front: the trainer keeps the caller's working directory for its own paths."""
    return os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])

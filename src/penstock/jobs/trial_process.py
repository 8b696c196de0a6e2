"""Runs a trainer's module as `python -m` would, and leaves a file behind when it has ended well.

`python -m penstock.jobs.trial_process FILE MODULE [ARGS]`: by that file, a tuning whose driver was killed in the moment
in which a trial ended knows not to run the trial again.
"""

import atexit
import runpy
import sys
from pathlib import Path

__all__ = ["main"]


def main() -> None:
    """Replaces itself by the module, in this process: signals and exit status are the module's own."""
    file, module = Path(sys.argv[1]), sys.argv[2]
    sys.argv = [module, *sys.argv[3:]]
    has_failed = True

    def leave() -> None:
        if not has_failed:
            file.touch()

    # Registered first, so it runs last: after what the trainer registers, and after its threads.
    atexit.register(leave)
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        has_failed = end.code not in (0, None)
        raise
    has_failed = False


if __name__ == "__main__":
    main()

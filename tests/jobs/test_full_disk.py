"""A disk that is really full: the job's end is noted as it was, as soon as there is room for it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TRAINER = """
import os
print("begun", flush=True)
try:
    with open(os.path.join(os.environ["DISK"], "ballast"), "wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
except OSError as error:
    print(error, flush=True)
for number in range(2000):
    print("line", number, flush=True)
raise SystemExit(3)
"""

# In a mount namespace of its own, so that the small disk is nobody else's and goes with the process.
JOURNEY = """
import json, os, subprocess, sys, time
from pathlib import Path

disk = Path(os.environ["DISK"])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)], check=True)

def penstock(*words):
    done = subprocess.run([sys.executable, "-m", "penstock.cli.main", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout

def state():
    return json.loads(penstock("jobs", "describe", "filler", "--format", "json"))

def wait_until(claim):
    until = time.monotonic() + 60
    while not claim():
        assert time.monotonic() < until
        time.sleep(0.2)

penstock("jobs", "submit", "training", "filler", "--module-name=trainer.task", "--package-path=trainer")
wait_until(lambda: (disk / "ballast").exists() and os.statvfs(disk).f_bavail == 0)
time.sleep(3)
assert state()["state"] == "RUNNING"  # nothing else could be noted
(disk / "ballast").unlink()
wait_until(lambda: state()["state"] not in ("QUEUED", "PREPARING", "RUNNING"))
print(json.dumps(state()))
"""


@pytest.mark.slow
def test_a_job_that_fills_the_disk_ends_true_once_there_is_room(tmp_path: Path) -> None:
    unshare = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]
    if shutil.which("unshare") is None or subprocess.run([*unshare, "true"], capture_output=True).returncode:
        pytest.skip("mount namespaces are not to be had here")
    disk, package = tmp_path / "disk", tmp_path / "trainer"
    disk.mkdir()
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "task.py").write_text(TRAINER)

    done = subprocess.run(
        [*unshare, sys.executable, "-c", JOURNEY],
        cwd=tmp_path,
        env={**os.environ, "DISK": str(disk), "PENSTOCK_HOME": str(disk / "home")},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )

    assert done.returncode == 0, done.stderr
    assert '"state": "FAILED"' in done.stdout
    assert "exited with a non-zero status of 3" in done.stdout

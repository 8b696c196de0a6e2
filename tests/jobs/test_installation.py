import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from penstock.errors import NotFoundError, TrainingError
from penstock.jobs.installation import Runtime, environment_with, install, install_plain_wheels, request_installation


def wheel(folder: Path, name: str, code: str = "", *, requires: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-1.0-py3-none-any.whl"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
    metadata += f"Requires-Dist: {requires}\n" if requires else ""
    with zipfile.ZipFile(path, "w") as content:
        content.writestr(f"{name}/__init__.py", code)
        content.writestr(f"{name}-1.0.dist-info/METADATA", metadata)
        content.writestr(
            f"{name}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        content.writestr(f"{name}-1.0.dist-info/RECORD", "")
    return path


def says(runtime: Runtime, code: str) -> str:
    program = f"import sys; sys.path[:0] = {runtime.paths!r}\n{code}"
    done = subprocess.run([runtime.python, "-P", "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_plain_wheels_are_only_unpacked(tmp_path: Path) -> None:
    runtime = install_plain_wheels([str(wheel(tmp_path, "trainer", "A = 1"))], folder=tmp_path / "job")
    assert runtime is not None
    assert runtime.python == sys.executable
    assert says(runtime, "import trainer; print(trainer.A)") == "1"


def test_what_requires_something_is_more_than_plain(tmp_path: Path) -> None:
    needy = wheel(tmp_path, "trainer", requires="six>=1")
    assert install_plain_wheels([str(needy)], folder=tmp_path / "job") is None
    assert install_plain_wheels(["gs://bucket/trainer-1.0-py3-none-any.whl"], folder=tmp_path / "job") is None
    optional = wheel(tmp_path, "optional", requires="six; extra == 'more'")
    assert install_plain_wheels([str(optional)], folder=tmp_path / "job") is not None


def test_a_wheel_whose_file_would_land_elsewhere_is_refused(tmp_path: Path) -> None:
    path = wheel(tmp_path, "trainer")
    with zipfile.ZipFile(path, "a") as content:
        content.writestr("../../outside.py", "x")
    with pytest.raises(TrainingError, match="leads out of its folder"):
        install_plain_wheels([str(path)], folder=tmp_path / "job")
    assert not list(tmp_path.rglob("outside.py"))


def test_an_archive_that_is_missing_or_broken_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no package .*gone\.whl"):
        install([str(tmp_path / "gone.whl")], folder=tmp_path, home=tmp_path)
    (tmp_path / "requirements.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(TrainingError, match=r"requirements\.txt is not text in UTF-8"):
        install([str(tmp_path / "requirements.txt")], folder=tmp_path, home=tmp_path)
    (tmp_path / "broken-1.0-py3-none-any.whl").write_text("not a zip")
    with pytest.raises(TrainingError, match="broken"):
        install([str(tmp_path / "broken-1.0-py3-none-any.whl")], folder=tmp_path, home=tmp_path)


def test_requirements_come_first_and_penstock_last(tmp_path: Path) -> None:
    own = wheel(tmp_path / "own", "numpy", "WHO = 'the job'")
    trainer = wheel(tmp_path / "packages", "trainer", "import numpy, penstock.errors; WHO = numpy.WHO")
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(f"penstock\n{own}\n")
    runtime = install([str(trainer), str(requirements)], folder=tmp_path / "job", home=tmp_path / "home")
    assert runtime.python != sys.executable
    assert says(runtime, "import trainer; print(trainer.WHO)") == "the job"
    # A second job with the same requirements gets the same environment.
    complete = next((tmp_path / "home" / "environments").glob("*/complete"))
    made = complete.parent.stat().st_ctime_ns
    again = install([str(trainer), str(requirements)], folder=tmp_path / "job2", home=tmp_path / "home")
    assert again.python == runtime.python
    assert complete.parent.stat().st_ctime_ns == made


def test_an_environment_without_penstock_holds_only_what_was_asked_for(tmp_path: Path) -> None:
    python = environment_with([str(wheel(tmp_path, "alone", "A = 1"))], home=tmp_path)
    assert says(Runtime(str(python), []), "import alone; print(alone.A)") == "1"
    with pytest.raises(AssertionError, match="No module named 'penstock'"):
        says(Runtime(str(python), []), "import penstock")


def test_a_requirement_that_does_not_exist_fails_with_pips_words_and_leaves_no_half_environment(tmp_path: Path) -> None:
    missing = str(tmp_path / "no-such-thing-1.0-py3-none-any.whl")
    with pytest.raises(TrainingError, match="no-such-thing"):
        environment_with([missing], home=tmp_path)
    assert not list(tmp_path.rglob("complete"))


def test_the_request_runs_as_a_process_of_its_own(tmp_path: Path) -> None:
    job = tmp_path / "job"
    job.mkdir()
    command = request_installation([str(wheel(tmp_path, "trainer"))], folder=job, home=tmp_path / "home")
    subprocess.run(command, check=True)
    assert json.loads((job / "runtime.json").read_text()) == {"python": sys.executable, "paths": [str(job / "site")]}
    failing = request_installation([str(tmp_path / "gone.whl")], folder=job, home=tmp_path / "home")
    done = subprocess.run(failing, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("ERROR: there is no package")

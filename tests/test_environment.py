"""`make demo` and `make test` set themselves up; what was left half done is made whole."""

import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.slow


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What the environment script reads, without an environment."""
    folder = tmp_path / "a checkout"
    folder.mkdir()
    for name in ("scripts", "requirements", "src"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "Makefile"):
        shutil.copy(REPOSITORY / name, folder / name)
    return folder


def set_up(checkout: Path) -> str:
    done = subprocess.run(
        ["scripts/environment.sh", "core"], cwd=checkout, capture_output=True, text=True, check=False, timeout=3000
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_the_environment_is_made_once_and_healed_when_broken(checkout: Path) -> None:
    assert "installing requirements/core.txt" in set_up(checkout)
    version = subprocess.run([checkout / ".venv/bin/penstock", "--version"], capture_output=True, text=True, check=True)
    assert "penstock" in version.stdout
    assert set_up(checkout) == ""

    (checkout / ".venv/bin/python").unlink()
    assert "making .venv" in set_up(checkout)

    (checkout / ".venv/.penstock-environment").unlink()
    assert "making .venv" in set_up(checkout)

    requirements = checkout / "requirements/core.txt"
    requirements.write_text(requirements.read_text() + "\n# changed\n")
    changed = set_up(checkout)
    assert "installing requirements/core.txt" in changed
    assert "making .venv" not in changed

    for package in (checkout / ".venv/lib").glob("python*/site-packages/numpy"):
        shutil.rmtree(package)
    set_up(checkout)
    subprocess.run([checkout / ".venv/bin/python", "-c", "import numpy, duckdb, onnxruntime"], check=True)

"""Exit statuses, and that every failure is one paragraph."""

import subprocess
import sys

import pytest

from penstock.cli.main import COMMANDS, penstock


def run(*words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "penstock.cli.main", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_every_command_loads_and_explains_itself() -> None:
    import click

    for name in COMMANDS:
        command = penstock.get_command(click.Context(penstock), name)
        assert command is not None
        assert command.get_help(click.Context(command, info_name=name))


def test_the_version_goes_to_stdout() -> None:
    done = run("--version")
    assert done.stdout.startswith("penstock")
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("words", "status"),
    [(["init"], 2), (["nonsense"], 2), (["train", "none.yaml"], 1), (["init", "none.csv", "--label", "y"], 1)],
)
def test_a_failure_is_one_paragraph_and_a_status(words: list[str], status: int) -> None:
    done = run(*words)
    assert done.returncode == status
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()


def test_debug_shows_the_traceback_wherever_it_stands() -> None:
    assert "Traceback" in run("--debug", "train", "none.yaml").stderr
    assert "Traceback" in run("train", "none.yaml", "--debug").stderr


def test_a_project_must_have_a_projects_name() -> None:
    done = run("--project", "No Such", "models", "list")
    assert done.returncode in (1, 2)
    assert "No Such" in done.stderr
    assert "Traceback" not in done.stderr

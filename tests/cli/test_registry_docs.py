"""What docs/registry.md shows works as it is shown."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.cli.main import main

PAGE = (Path(__file__).parents[2] / "docs" / "registry.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)


def test_every_command_and_program_of_the_page_runs(
    make_bundle: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make_bundle("output/export/Servo/1700000000")
    monkeypatch.chdir(tmp_path)
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    assert len(lines) >= 9
    for line in lines:
        program, *words = shlex.split(line)
        assert program == "penstock"
        with pytest.raises(SystemExit) as exit_:
            main(words)
        assert exit_.value.code == 0, f"{line}: {capsys.readouterr().err}"
    (program,) = blocks("python")
    make_bundle("output/export/Servo/1700000001", graph=b"another")
    exec(compile(program, "docs/registry.md", "exec"), {})
    assert "v3 3 {'average_loss': 2.5}" in capsys.readouterr().out

"""Every command that README.md and docs/ show is run: each page's `sh` blocks as one script, in a folder of its own.

What a page takes for granted stands in it as a comment, `<!-- run` to `-->`, which is run in its place.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
LONG = {
    "auto.md",
    "batch.md",
    "client.md",
    "estimators.md",
    "experiments.md",
    "explaining.md",
    "jobs.md",
    "levels.md",
    "monitoring.md",
    "portability.md",
    "recipes.md",
    "registry.md",
    "training.md",
    "tuning.md",
}  # many commands each, most of which other pages and tests run too; `make check-full` runs these pages
_BLOCK = re.compile(r"^(?:```sh|<!-- run)\n(.*?)^(?:```|-->)", re.MULTILINE | re.DOTALL)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    "page", [pytest.param(page, id=page.name, marks=[pytest.mark.slow] if page.name in LONG else []) for page in PAGES]
)
def test_commands_on_the_page_work(page: Path, tmp_path: Path, home: Path) -> None:
    blocks = [block for block in _BLOCK.findall(page.read_text()) if not re.search(r"^make ", block, re.MULTILINE)]
    if not blocks:
        assert page.suffix == ".md"
        return
    work = tmp_path / "work"
    work.mkdir()
    if (REPOSITORY / "examples").is_dir():
        shutil.copytree(REPOSITORY / "examples", work / "examples")
    port = free_port()
    script = "set -eu\n" + "\n".join(blocks).replace("8501", str(port))
    # A person waits for the server's ready line before typing on.
    script = re.sub(r"^(penstock serve .*&)$", rf"\1\n{_wait_for(port)}", script, flags=re.MULTILINE)
    environment = {
        **os.environ,
        "PENSTOCK_HOME": str(home),
        "PENSTOCK_SERVER_URL": f"http://127.0.0.1:{port}",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    transcript = tmp_path / "transcript"
    with transcript.open("wb") as output:
        process = subprocess.Popen(
            ["bash", "-c", script],
            cwd=work,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status = process.wait(timeout=240)
        finally:
            _end_group(process.pid)
    assert status == 0, f"{page.name}:\n{script}\n---\n{transcript.read_text()}"


def _wait_for(port: int) -> str:
    return f"for _ in $(seq 100); do (: < /dev/tcp/127.0.0.1/{port}) 2>/dev/null && break; sleep 0.1; done"


def _end_group(leader: int) -> None:
    """Servers started with `&` on the page end with it."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        return

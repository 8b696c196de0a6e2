"""Peers live in environments of their own, made when first asked for, so that they never weigh on Penstock's."""

import hashlib
import subprocess
import sys
from pathlib import Path

CACHE = Path(__file__).resolve().parent.parent / ".benchmarks"


def peer_python(name: str, requirements: list[str]) -> Path | None:
    """The interpreter of an environment that holds these requirements; None, with a notice, where they do not fit."""
    digest = hashlib.sha256("\n".join(requirements).encode()).hexdigest()[:12]
    folder = CACHE / f"{name}-{digest}"
    python = folder / "bin" / "python"
    if (folder / "complete").exists():
        return python
    print(f"installing {name}: {' '.join(requirements)}", file=sys.stderr, flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    done = subprocess.run(
        [str(python), "-m", "pip", "install", "--quiet", *requirements], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        print(f"{name} does not install here and is left out: {reason}", file=sys.stderr, flush=True)
        return None
    (folder / "complete").touch()
    return python

"""What a process loads, and which room may import which."""

import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

HEAVY = {"keras", "jax", "ray", "duckdb", "lightgbm", "tensorboard", "tensorflow", "optuna", "pandas"}


def modules_after(code: str) -> set[str]:
    """Top-level modules loaded by a fresh interpreter that ran `code`."""
    probe = f"{code}\nimport sys; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_rooms_keep_their_contract() -> None:
    command = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([command], capture_output=True, text=True, cwd=Path(__file__).parents[1], check=False)
    assert done.returncode == 0, done.stdout


def test_no_file_imports_itself_by_way_of_others() -> None:
    graph = grimp.build_graph("penstock")
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert list(TopologicalSorter(imports).static_order())


def test_import_penstock_loads_no_library() -> None:
    assert not modules_after("import penstock") & (HEAVY | {"numpy", "onnxruntime", "sqlalchemy", "click", "msgspec"})


def test_help_loads_no_library_but_click() -> None:
    code = "from penstock.cli.main import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n    pass"
    assert not modules_after(code) & (HEAVY | {"numpy", "onnxruntime", "sqlalchemy", "rich"})


@pytest.mark.parametrize("module", ["penstock.serving.server", "penstock.runtime.model", "penstock.registry.registry"])
def test_a_prediction_server_loads_nothing_that_trains(module: str) -> None:
    assert not modules_after(f"import {module}") & HEAVY

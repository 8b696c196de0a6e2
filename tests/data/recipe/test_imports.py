"""A prediction server runs row programs, and must not load what only preparing needs."""

import subprocess
import sys

import pytest

HEAVY = ("duckdb", "pyarrow", "apache_beam", "keras", "jax", "pandas", "yaml")


@pytest.mark.parametrize(
    "module",
    ["penstock.data.recipe.row_program", "penstock.data.recipe.serving_input", "penstock.serving_input"],
)
def test_what_serving_runs_loads_no_engine(module: str) -> None:
    code = f"import sys, {module}; print([name for name in {HEAVY} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_recipe_commands_load_nothing_heavy_for_their_help() -> None:
    code = (
        "import sys\nfrom penstock.cli.main import penstock\n"
        "penstock.main(['data', 'prepare', '--help'], standalone_mode=False)\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip().endswith("[]")

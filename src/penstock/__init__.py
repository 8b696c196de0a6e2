"""Penstock: from a raw table to a live prediction service.

Public names load on first use, so that `import penstock` stays light.
"""

from importlib import import_module
from typing import Any

from penstock.version import __version__

_PUBLIC_MODULES = ("client", "estimator", "feature_column", "serving_input", "testing")

__all__ = [
    "__version__",
    "client",
    "estimator",
    "feature_column",
    "import_model",
    "profile",
    "serving_input",
    "testing",
]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC_MODULES:
        return import_module(f"penstock.{name}")
    if name == "import_model":
        return import_module("penstock.flows.import_model").import_model
    if name == "profile":
        return import_module("penstock.profiling").profile
    raise AttributeError(f"module 'penstock' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

"""The version of Penstock: one place, read by the package, its bundles and its build."""

__all__ = ["__version__"]

__version__ = "0.1.0"

"""The Python client of a prediction service."""

"""Speeds next to peers measured in the same run: `python -m benchmarks NAME` runs one, `python -m benchmarks` all."""

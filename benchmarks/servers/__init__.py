"""Prediction servers of the benchmark, each run by its own interpreter."""

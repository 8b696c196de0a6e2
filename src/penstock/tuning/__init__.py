"""Tuning decides: which hyperparameters to try next, which trial to stop, which was the best. It trains nothing."""

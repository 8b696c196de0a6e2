"""The automatic estimator: candidates cross-validated within a time budget, and the best of them put together."""

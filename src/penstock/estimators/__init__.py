"""Estimators: feature columns and labels in, a trained and servable model out. Knows nothing of registries or
services.
"""

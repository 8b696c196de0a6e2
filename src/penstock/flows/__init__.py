"""Flows: one user verb a file. The only rooms that compose others; they decide nothing and print nothing."""

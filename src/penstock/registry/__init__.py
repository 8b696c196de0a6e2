"""Models and their versions: what is registered, which is default, and where each came from."""

"""The prediction service: a parent that owns the socket, workers that answer, protocols over one core."""

"""Tables: read, profiled and prepared. Knows nothing of models."""

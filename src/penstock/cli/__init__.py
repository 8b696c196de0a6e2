"""The `penstock` command: parses, calls one flow or service, prints the answer."""

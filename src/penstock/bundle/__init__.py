"""The bundle: what training hands to everything after it. Knows its files and their digests, and no framework."""

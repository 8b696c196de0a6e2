"""Jobs: a trainer and what it needs in, supervised processes here or on Ray, their logs and their end."""

"""The steps of recipes, one family a file."""

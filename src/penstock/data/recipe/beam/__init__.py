"""Recipes as Apache Beam pipelines. Importing anything here imports Apache Beam, the extra `beam`."""

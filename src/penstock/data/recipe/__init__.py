"""Recipes: the steps that turn raw rows into the rows a model trains on, and into what it is served."""

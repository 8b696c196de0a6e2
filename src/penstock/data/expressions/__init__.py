"""The expression language of recipes: parsed to a tree, typed against a schema, evaluated on columns or as SQL."""

"""Steps as SQL of DuckDB: texts only; what runs them is `penstock.data.recipe.duckdb_engine`."""

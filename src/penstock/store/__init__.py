"""Where rows and files are kept: SQLite or PostgreSQL, a folder or an object store."""

-- The number of views of this database.
SELECT count(*) AS views FROM duckdb_views() WHERE NOT internal AND database_name = current_database()

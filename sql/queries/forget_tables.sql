-- Tables with a column sample_id, except the history of decisions and the list of forgotten rows.
SELECT table_name FROM duckdb_columns() SEMI JOIN duckdb_tables() USING (database_name, schema_name, table_name)
WHERE schema_name = 'store' AND column_name = 'sample_id' AND database_name = current_database()
  AND table_name NOT IN ('split_rows', 'forgotten') ORDER BY table_name;

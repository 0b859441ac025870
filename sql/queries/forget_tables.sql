-- The tables that hold something by sample_id, but for the history of decisions and the list of what is forgotten.
SELECT table_name FROM duckdb_columns() SEMI JOIN duckdb_tables() USING (database_name, schema_name, table_name)
WHERE schema_name = 'store' AND column_name = 'sample_id' AND database_name = current_database()
  AND table_name NOT IN ('split_rows', 'forgotten') ORDER BY table_name;

SELECT DISTINCT unnest(json_keys(metadata)) AS column_name FROM read_parquet($rows) ORDER BY ALL;

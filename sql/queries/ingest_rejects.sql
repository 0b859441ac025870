INSERT INTO store.rejects BY NAME
SELECT $dataset AS dataset, source_file, source_line, reason, raw FROM read_parquet($rejects);

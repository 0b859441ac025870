INSERT INTO store.rejects BY NAME
SELECT $dataset AS dataset, s.source_file, s.source_line, 'was to be forgotten: ' || f.reason AS reason, '' AS raw
FROM read_parquet($rows) AS s JOIN store.forgotten AS f USING (sample_id);

INSERT INTO store.rows BY NAME
SELECT $dataset AS dataset, sample_id, kind, prompt, answer, messages, tools, images, metadata, record, source_file,
       source_line
FROM read_parquet($rows)
WHERE position IN (SELECT position FROM places WHERE is_first AND is_new);

-- Update rows that are back, have moved in the files, or have other columns around the same content.
UPDATE store.rows AS r
SET retired_at = NULL, prompt = s.prompt, tools = s.tools, images = s.images, metadata = s.metadata, record = s.record,
    source_file = s.source_file, source_line = s.source_line
FROM read_parquet($rows) AS s
WHERE r.dataset = $dataset AND r.sample_id = s.sample_id
  AND s.position IN (SELECT position FROM places WHERE is_first AND NOT is_new)
  AND (r.retired_at IS NOT NULL OR r.source_line <> s.source_line OR r.source_file <> s.source_file
       OR r.record <> s.record OR r.metadata <> s.metadata OR r.prompt <> s.prompt
       OR r.images IS DISTINCT FROM s.images);

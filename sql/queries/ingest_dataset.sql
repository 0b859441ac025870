MERGE INTO store.datasets AS d
USING (
    SELECT $dataset AS dataset, $role AS role, $source AS source, $layout AS layout, if(count(*) FILTER (kind = 'vqa') > 0, 'vqa', 'instruction') AS kind,
           count(*) FILTER (is_first) AS rows, (SELECT count(*) FROM store.rejects WHERE dataset = $dataset) AS rejected, count(*) FILTER (NOT is_first) AS duplicates,
           $content_hash AS content_hash, $files AS files, $source_hash AS source_hash, now() AS ingested_at, $run_id AS run_id
    FROM places
) AS s USING (dataset)
WHEN MATCHED THEN UPDATE SET
    role = s.role, source = s.source, layout = s.layout, kind = s.kind, rows = s.rows, rejected = s.rejected,
    duplicates = s.duplicates, content_hash = s.content_hash, files = s.files, source_hash = s.source_hash,
    ingested_at = s.ingested_at, run_id = s.run_id
WHEN NOT MATCHED THEN INSERT BY NAME;

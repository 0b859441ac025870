-- Rows that are unlike all trusted rows, by why and by the column `source` of the rows or else by file, the largest part first.
SELECT coalesce(p.unlike_because, 'asks') AS because,
       left(coalesce(r.metadata::JSON->>'source', parse_filename(r.source_file)), 40) AS part, count(DISTINCT r.sample_id) AS rows,
       min_by(parse_filename(r.source_file) || ', line ' || r.source_line, {cosine: coalesce(p.nearest_cosine, 2), id: r.sample_id}, 3)[1:CASE WHEN count(*) OVER () > 1 THEN 1 ELSE 3 END] AS examples
FROM store.fresh_suspicions($dataset, $model_key, $reference, $reference_hash, 'dataset') AS p
JOIN store.rows AS r ON r.dataset = $dataset AND r.sample_id = p.sample_id AND r.retired_at IS NULL
WHERE p.is_unlike
GROUP BY because, part ORDER BY rows DESC, part, because;

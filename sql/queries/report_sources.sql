-- Flagged rows by check and source file, for warning and critical checks; the 12 files with most flags.
WITH counts AS (
    SELECT f.check_name, parse_filename(r.source_file) AS source, count(*) AS rows
    FROM flags AS f JOIN rows AS r USING (dataset, sample_id)
    WHERE f.dataset = $dataset AND f.severity IN ('warning', 'critical') GROUP BY ALL
)
SELECT * FROM counts
WHERE source IN (SELECT source FROM counts GROUP BY source ORDER BY sum(rows) DESC, source LIMIT 12)
ORDER BY rows DESC, check_name, source;

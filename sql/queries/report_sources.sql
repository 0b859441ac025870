-- Rows flagged by each check that can drop them, by the file that they came from; the 12 files with most flags.
WITH found AS (
    SELECT f.check_name, parse_filename(r.source_file) AS source, count(*) AS rows
    FROM flags AS f JOIN rows AS r USING (dataset, sample_id)
    WHERE f.dataset = $dataset AND f.severity IN ('warning', 'critical') GROUP BY ALL
)
SELECT * FROM found
WHERE source IN (SELECT source FROM found GROUP BY source ORDER BY sum(rows) DESC, source LIMIT 12)
ORDER BY rows DESC, check_name, source;

-- The published versions whose training files hold a row.
SELECT s.split, s.version, s.folder FROM store.split_rows AS d JOIN store.splits AS s USING (split, version)
WHERE d.sample_id = $sample_id AND d.decision = 'keep' AND s.folder IS NOT NULL ORDER BY s.split, s.version;

-- The rows that stay, as they came in, or with the answer that a verdict gave them. Reads the variables split and version.
CREATE OR REPLACE TEMP VIEW kept AS
SELECT d.sample_id, coalesce(d.record, r.record) AS record, r.images
FROM store.split_rows AS d
JOIN store.splits AS s USING (split, version)
JOIN store.rows AS r ON r.sample_id = d.sample_id AND r.dataset = s.dataset
WHERE d.split = getvariable('split') AND d.version = getvariable('version') AND d.decision = 'keep';

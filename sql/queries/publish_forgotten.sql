-- Number of rows that a version keeps and that were forgotten since it was decided.
SELECT count(*) FROM store.split_rows AS d SEMI JOIN store.forgotten AS f USING (sample_id)
WHERE d.split = $split AND d.version = $version AND d.decision = 'keep';

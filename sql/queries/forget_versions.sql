-- The published versions that hold a row, with the files that hold it.
SELECT s.split, s.version, s.folder, if(d.decision = 'keep', 'the train files', 'dropped.parquet') AS files
FROM store.split_rows AS d JOIN store.splits AS s USING (split, version)
WHERE d.sample_id = $sample_id AND s.folder IS NOT NULL ORDER BY s.split, s.version;

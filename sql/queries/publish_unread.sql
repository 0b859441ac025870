-- Columns that the layout of the rows does not read: they are metadata.
SELECT DISTINCT unnest(json_keys(r.metadata)) AS name
FROM store.kept_rows($split, $version) JOIN store.splits AS s ON s.split = $split AND s.version = $version
JOIN store.rows AS r USING (dataset, sample_id);

-- The sample_ids that begin with $beginning, at most two, of rows that are there, are gone or were forgotten, and of canaries.
SELECT DISTINCT sample_id
FROM (SELECT sample_id FROM store.rows UNION ALL SELECT sample_id FROM store.forgotten UNION ALL SELECT sample_id FROM store.canaries)
WHERE starts_with(sample_id, $beginning) AND $beginning <> '' LIMIT 2;

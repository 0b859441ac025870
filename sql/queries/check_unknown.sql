-- How many rows a check returned that are not in the database, and one of them.
SELECT count(*), any_value(format('sample_id {} of dataset {}', coalesce(b.sample_id, 'NULL'), coalesce(b.dataset, 'NULL')))
FROM (FROM memory.main.bad_rows WHERE check_name = $check_name) AS b ANTI JOIN rows USING (sample_id, dataset);

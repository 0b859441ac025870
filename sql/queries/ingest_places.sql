-- Where each staged row stands; narrow, because the rows themselves are read only once they are known to be wanted. A row that
-- was to be forgotten is none.
CREATE OR REPLACE TEMP TABLE places AS
SELECT position, sample_id, kind, source_file, source_line,
       row_number() OVER (PARTITION BY sample_id ORDER BY source_file, source_line) = 1 AS is_first,
       sample_id NOT IN (SELECT sample_id FROM store.rows WHERE dataset = $dataset) AS is_new
FROM read_parquet($rows)
WHERE sample_id NOT IN (SELECT sample_id FROM store.forgotten);

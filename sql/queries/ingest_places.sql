-- The position of each staged row, without its content, which is read later for new rows only. Forgotten rows are left out.
CREATE OR REPLACE TEMP TABLE places AS
SELECT position, sample_id, kind, source_file, source_line,
       row_number() OVER (PARTITION BY sample_id ORDER BY source_file, source_line) = 1 AS is_first,
       sample_id NOT IN (SELECT sample_id FROM store.rows WHERE dataset = $dataset) AS is_new
FROM read_parquet($rows)
WHERE sample_id NOT IN (SELECT sample_id FROM store.forgotten);

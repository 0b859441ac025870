-- A row, the rows that people trusted instead of it, and the row that it was trusted instead of.
SELECT $sample_id AS sample_id
UNION
SELECT unnest([sample_id, trusted_as]) FROM store.verdicts WHERE trusted_as IS NOT NULL AND (sample_id = $sample_id OR trusted_as = $sample_id);

-- The rows with the lowest values in each source file.
-- parameter: n = 3
WITH worst AS (
    SELECT r.source_file, s.dataset, s.reference, s.model, s.sample_id, s.value
    FROM scores AS s
    JOIN rows AS r USING (sample_id, dataset)
    JOIN datasets AS d ON d.dataset = s.dataset AND d.role = 'dataset'
    QUALIFY row_number() OVER (PARTITION BY r.source_file, s.dataset, s.reference, s.model ORDER BY s.value, s.sample_id) <= getvariable('n')
)
SELECT w.*, left(r.prompt, 80) AS prompt, left(r.answer, 80) AS answer
FROM worst AS w JOIN rows AS r USING (sample_id, dataset)
ORDER BY w.source_file, w.dataset, w.reference, w.model, w.value, w.sample_id

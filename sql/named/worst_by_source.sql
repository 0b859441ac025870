-- The rows of the lowest value in each source file.
-- parameter: n = 3
SELECT r.source_file, s.dataset, s.reference, s.model, s.sample_id, s.value, left(r.prompt, 80) AS prompt, left(r.answer, 80) AS answer
FROM scores AS s
JOIN rows AS r USING (sample_id, dataset)
JOIN datasets AS d ON d.dataset = s.dataset AND d.role = 'dataset'
QUALIFY row_number() OVER (PARTITION BY r.source_file, s.dataset, s.reference, s.model ORDER BY s.value, s.sample_id) <= getvariable('n')
ORDER BY r.source_file, s.dataset, s.reference, s.model, s.value, s.sample_id

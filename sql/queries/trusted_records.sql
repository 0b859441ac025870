-- The rows that people trust, the earliest decision first. A row that the files of the dataset no longer hold stays trusted.
SELECT r.messages, r.tools, r.metadata, list_transform(r.images, lambda image: image.path) AS pictures, v.answer, r.answer AS original_answer,
       v.who, strftime(v.decided_at AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%SZ') AS decided_at, r.sample_id
FROM verdicts AS v JOIN store.rows AS r ON r.dataset = v.dataset AND r.sample_id = v.sample_id
WHERE v.dataset = $dataset AND v.trusted_as IS NOT NULL
ORDER BY v.decided_at, r.sample_id;

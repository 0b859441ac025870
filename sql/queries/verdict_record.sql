-- A current row of a dataset, and whether a verdict has made it trusted.
SELECT r.record, r.messages, r.tools, list_transform(r.images, lambda image: image.sha256) AS pictures, v.trusted_as IS NOT NULL AS is_trusted
FROM store.rows AS r LEFT JOIN verdicts AS v ON v.dataset = r.dataset AND v.sample_id = r.sample_id
WHERE r.dataset = $dataset AND r.sample_id = $sample_id AND r.retired_at IS NULL;

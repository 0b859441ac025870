-- A current row of a dataset, its present verdict, and whether that has made it trusted.
SELECT r.record, r.messages, r.tools, list_transform(r.images, lambda image: image.sha256) AS pictures, v.trusted_as IS NOT NULL AS is_trusted,
       v.verdict, v.who, coalesce(epoch_us(v.decided_at), 0) AS decided_us
FROM store.rows AS r LEFT JOIN verdicts AS v ON v.dataset = r.dataset AND v.sample_id = r.sample_id
WHERE r.dataset = $dataset AND r.sample_id = $sample_id AND r.retired_at IS NULL;

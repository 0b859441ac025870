-- The rows that were decided on the trust page, in the order of the decisions, and then the rows to offer.
SELECT r.sample_id, r.prompt, r.answer, r.source_file, r.source_line, list_transform(r.images, lambda image: image.path) AS paths,
       v.verdict, v.answer AS right_answer, v.who, v.why
FROM rows AS r
LEFT JOIN verdicts AS v ON v.dataset = r.dataset AND v.sample_id = r.sample_id
LEFT JOIN rows_to_offer AS o ON o.sample_id = r.sample_id
WHERE r.dataset = $dataset AND (o.sample_id IS NOT NULL OR v.page = 'trust' OR v.trusted_as IS NOT NULL)
ORDER BY v.decided_at NULLS LAST, o.position;

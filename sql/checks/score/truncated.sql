-- warning: the row was cut before it was scored, so its value is that of the shorter row; training would cut it too
SELECT r.sample_id, r.dataset,
       format('The row is longer than scoring.max_tokens = {}: only {} tokens of prompt and {} of answer were scored.',
              m.max_tokens, s.prompt_tokens, s.answer_tokens) AS reason
FROM store.fresh_scores(getvariable('model_key'), getvariable('reference'), getvariable('reference_hash')) AS s
JOIN store.models AS m ON m.model_key = s.model_key
JOIN rows AS r ON r.sample_id = s.sample_id AND r.dataset = getvariable('dataset')
WHERE s.truncated

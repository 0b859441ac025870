-- critical: a number that is not finite means that the model overflowed, and then no score of the run can be trusted
SELECT r.sample_id, r.dataset,
       format('A score is not a finite number: value {}, self_value {}, nll {} over {} answer tokens.',
              s.value, s.self_value, s.nll, s.answer_tokens) AS reason
FROM store.scores AS s JOIN rows AS r ON r.sample_id = s.sample_id AND r.dataset = getvariable('dataset')
WHERE s.model_key = getvariable('model_key')
  AND s.reference = getvariable('reference') AND s.reference_hash = getvariable('reference_hash')
  AND NOT (isfinite(coalesce(s.value, 0)) AND isfinite(coalesce(s.value_per_token, 0))
           AND isfinite(coalesce(s.value_cosine, 0)) AND isfinite(coalesce(s.self_value, 0))
           AND isfinite(coalesce(s.nll, 0)) AND isfinite(coalesce(s.worst_token, 0))
           AND isfinite(coalesce(s.conditional_gain, 0)) AND isfinite(coalesce(s.local_value, 0)))

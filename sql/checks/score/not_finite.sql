-- critical: a number that is not finite means that the model overflowed, so that no score of the run can be trusted
-- All columns are checked except those that hold no number, so that a new signal is checked too.
WITH fresh AS (FROM store.fresh_scores(getvariable('model_key'), getvariable('reference'), getvariable('reference_hash'))),
finite AS (
    SELECT sample_id FROM fresh
    WHERE coalesce(isfinite(COLUMNS(* EXCLUDE (sample_id, model_key, reference, reference_hash, truncated, tokens, likeliest,
                                               token_values, token_logprobs, scored_at, run_id))), true)
      AND coalesce(isfinite(list_sum(token_values)), true) AND coalesce(isfinite(list_sum(token_logprobs)), true)
)
SELECT r.sample_id, r.dataset,
       format('A score is not a finite number: value {}, self_value {}, nll {} over {} answer tokens.',
              s.value, s.self_value, s.nll, s.answer_tokens) AS reason
FROM fresh AS s ANTI JOIN finite USING (sample_id)
JOIN rows AS r ON r.sample_id = s.sample_id AND r.dataset = getvariable('dataset')

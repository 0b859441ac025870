-- Canaries do not count as scored rows, but their tokens count, because scoring them is work too.
UPDATE store.runs SET state = $state, finished_at = now(),
    rows_scored = (SELECT count(*) FROM store.scores ANTI JOIN store.canaries USING (sample_id) WHERE run_id = $run_id),
    tokens_scored = (SELECT coalesce(sum(answer_tokens + prompt_tokens), 0) FROM store.scores WHERE run_id = $run_id)
WHERE run_id = $run_id;

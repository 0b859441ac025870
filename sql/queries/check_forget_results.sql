DELETE FROM store.checks WHERE run_id = $run_id AND dataset = $dataset AND stage = $stage;

DELETE FROM store.suites WHERE run_id = $run_id AND dataset = $dataset AND stage = $stage;

SELECT sample_id FROM store.scores WHERE run_id = $run_id;

INSERT INTO store.unscorable SELECT sample_id, $model_key, reason, $run_id FROM new_refusals;

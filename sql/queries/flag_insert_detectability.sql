INSERT INTO store.detectability BY NAME
SELECT kind AS canary, auc, low AS auc_low, high AS auc_high, canaries, signal AS best_signal, signal_auc AS best_signal_auc,
       $dataset AS dataset, $model_key AS model_key, $reference AS reference, $run_id AS run_id
FROM new_detectability;

SELECT canary, auc, auc_low, auc_high, canaries, auc_low > 0.5 AS detectable, best_signal, best_signal_auc
FROM store.detectability
WHERE dataset = $dataset AND model_key = $model_key AND reference = $reference ORDER BY auc DESC, canary;

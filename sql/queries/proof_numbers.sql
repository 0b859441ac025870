-- Numbers over seeds, but for those of single queries.
FROM evaluation_summary WHERE metric != 'auc of a query'
ORDER BY evaluation, dataset, model, setting, metric, mean DESC;

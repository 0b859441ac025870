-- Summaries over seeds under the newest conditions, without metrics of single queries.
FROM evaluation_summary WHERE metric != 'auc of a query'
QUALIFY conditions::VARCHAR = arg_max(conditions::VARCHAR, made_at) OVER (PARTITION BY evaluation, dataset, model, setting)
ORDER BY evaluation, dataset, model, setting, metric, mean DESC;

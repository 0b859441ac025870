-- Numbers of some groups, summarised over seeds as in evaluation_summary.
SELECT evaluation, dataset, model, conditions, setting, method, metric, count(*) AS numbers, avg(value) AS mean, stddev_samp(value) AS deviation
FROM store.evaluations SEMI JOIN units_to_read USING (unit)
GROUP BY ALL ORDER BY evaluation, setting, metric, method;

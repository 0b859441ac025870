-- The comparisons of some groups.
SELECT evaluation, dataset, model, conditions, setting, method, against, metric, pairs, difference, low, high, test, p, p_holm
FROM store.comparisons SEMI JOIN units_to_read USING (unit)
ORDER BY evaluation, setting, metric, method, against;

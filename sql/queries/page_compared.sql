-- Comparisons under the newest conditions, as in page_numbers.
WITH newest AS (
    SELECT evaluation, dataset, model, setting, arg_max(conditions::VARCHAR, made_at) AS conditions
    FROM evaluation_summary GROUP BY ALL
)
FROM comparisons SEMI JOIN newest USING (evaluation, dataset, model, setting, conditions)
ORDER BY evaluation, dataset, model, setting, method, against;

-- What was measured about the method itself, one number a row; `evaluate` and `settle` write them.
CREATE OR REPLACE VIEW evaluations AS
SELECT evaluation, dataset, model, conditions::JSON AS conditions, setting, method, seed, metric, value, run_id, made_at
FROM store.evaluations;

-- The same over seeds. Where there is but one number, its deviation is null.
CREATE OR REPLACE VIEW evaluation_summary AS
SELECT evaluation, dataset, model, conditions::JSON AS conditions, setting, method, metric, count(*) AS numbers,
       avg(value) AS mean, stddev_samp(value) AS deviation, max(made_at) AS made_at
FROM store.evaluations
GROUP BY ALL;

-- Whether one method does better than another, in pairs: the newest answer under the same conditions.
CREATE OR REPLACE VIEW comparisons AS
SELECT evaluation, dataset, model, conditions::JSON AS conditions, setting, method, against, metric, pairs, difference, low, high,
       test, p, p_holm, run_id, made_at
FROM store.comparisons
QUALIFY row_number() OVER (
    PARTITION BY evaluation, dataset, model, store.comparisons.conditions, setting, method, against, metric ORDER BY made_at DESC
) = 1;

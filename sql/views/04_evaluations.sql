-- Measurements of the method itself, one number per row. `evaluate` and `settle` write them.
CREATE OR REPLACE VIEW evaluations AS
SELECT evaluation, dataset, model, conditions::JSON AS conditions, setting, method, seed, metric, value, run_id, made_at
FROM store.evaluations;

-- Evaluations summarised over seeds. A single number has no deviation (null).
CREATE OR REPLACE VIEW evaluation_summary AS
SELECT evaluation, dataset, model, conditions::JSON AS conditions, setting, method, metric, count(*) AS numbers,
       avg(value) AS mean, stddev_samp(value) AS deviation, max(made_at) AS made_at
FROM store.evaluations
GROUP BY ALL;

-- Paired comparisons of methods: the newest result under the same conditions.
CREATE OR REPLACE VIEW comparisons AS
SELECT evaluation, dataset, model, conditions::JSON AS conditions, setting, method, against, metric, pairs, difference, low, high,
       test, p, p_holm, run_id, made_at
FROM store.comparisons
QUALIFY row_number() OVER (
    PARTITION BY evaluation, dataset, model, store.comparisons.conditions, setting, method, against, metric ORDER BY made_at DESC
) = 1;

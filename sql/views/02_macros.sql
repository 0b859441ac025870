-- Parameterised views: FROM worst_rows('support', 20).
CREATE OR REPLACE MACRO worst_rows(name, n := 20) AS TABLE
SELECT s.sample_id, s.model, s.value, s.nll, s.conditional_gain, r.prompt, r.answer
FROM scores AS s JOIN rows AS r USING (sample_id, dataset)
WHERE s.dataset = name ORDER BY s.value, s.sample_id LIMIT n;

CREATE OR REPLACE MACRO best_rows(name, n := 20) AS TABLE
SELECT s.sample_id, s.model, s.value, s.nll, s.conditional_gain, r.prompt, r.answer
FROM scores AS s JOIN rows AS r USING (sample_id, dataset)
WHERE s.dataset = name ORDER BY s.value DESC, s.sample_id LIMIT n;

CREATE OR REPLACE MACRO row_history(id) AS TABLE
SELECT d.split, d.version, s.created_at, d.decision, d.reason, d.rank, d.value
FROM split_rows AS d JOIN splits AS s USING (split, version)
WHERE d.sample_id = id ORDER BY s.created_at, d.split, d.version;

-- Rows whose decision differs between two versions, with the cause. If the rank decided in both versions, the cause is the
-- row's own score if it changed ('score moved'), else the other rows or the budget ('budget').
CREATE OR REPLACE MACRO split_diff(name, a, b) AS TABLE
SELECT sample_id, o.decision AS decision_a, n.decision AS decision_b,
       CASE WHEN o.sample_id IS NULL THEN 'row is new'
            WHEN n.sample_id IS NULL THEN 'row is gone'
            WHEN n.cause = 'verdict' THEN 'verdict'
            WHEN o.cause = 'verdict' THEN 'verdict taken back'
            WHEN n.cause = 'flag' THEN 'flag appeared'
            WHEN o.cause = 'flag' THEN 'flag gone'
            WHEN n.cause = 'unscored' THEN 'score gone'
            WHEN o.cause = 'unscored' THEN 'score appeared'
            WHEN n.cause = 'near duplicate' THEN 'nearly the same as a better row'
            WHEN o.cause = 'near duplicate' THEN 'no longer nearly the same as a better row'
            WHEN n.cause = 'draw' OR o.cause = 'draw' THEN 'draw'
            WHEN n.cause = 'suspicion' THEN 'became suspicious'
            WHEN o.cause = 'suspicion' THEN 'no longer suspicious'
            WHEN o.value IS DISTINCT FROM n.value THEN 'score moved'
            ELSE 'budget'
       END AS cause, o.reason AS reason_a, n.reason AS reason_b, o.value AS value_a, n.value AS value_b
FROM (SELECT * FROM split_rows WHERE split = name AND version = a) AS o
FULL JOIN (SELECT * FROM split_rows WHERE split = name AND version = b) AS n USING (sample_id)
WHERE o.decision IS DISTINCT FROM n.decision
ORDER BY cause, sample_id;

-- The value of every row against any scored dataset, computed from the index without the model.
-- A row of that dataset is valued against the other rows of it (leave one out).
CREATE OR REPLACE MACRO value_against(name) AS TABLE
WITH target AS MATERIALIZED (
    SELECT v.model_key, v.sample_id, v.vector
    FROM store.vectors AS v JOIN store.rows AS r ON r.sample_id = v.sample_id AND r.retired_at IS NULL AND r.dataset = name
),
mean AS (
    SELECT model_key, list(part ORDER BY i) AS vector, any_value(n) AS n
    FROM (SELECT t.model_key, d.i, avg(t.vector[d.i])::FLOAT AS part, count(*) AS n
          FROM target AS t, unnest(range(1, len(t.vector) + 1)) AS d(i) GROUP BY ALL)
    GROUP BY model_key
),
quality AS (SELECT model_key, avg(index_correlation) AS index_correlation FROM store.fits GROUP BY model_key),
valued AS (
    SELECT p.sample_id, p.model_key, p.unit * list_inner_product(p.vector::FLOAT[], m.vector) AS value
    FROM store.packed AS p JOIN mean AS m USING (model_key)
)
SELECT v.sample_id, r.dataset, k.model,
       CASE WHEN t.sample_id IS NULL THEN v.value ELSE (m.n * v.value - list_inner_product(t.vector, t.vector)) / (m.n - 1) END AS value,
       q.index_correlation
FROM valued AS v JOIN mean AS m USING (model_key) JOIN store.models AS k USING (model_key)
JOIN store.rows AS r ON r.sample_id = v.sample_id AND r.retired_at IS NULL
LEFT JOIN target AS t ON t.sample_id = v.sample_id AND t.model_key = v.model_key
LEFT JOIN quality AS q ON q.model_key = v.model_key;

-- The n reference rows that raise the value of a row most, and the n that lower it most, from the index.
CREATE OR REPLACE MACRO influences(id, n := 5) AS TABLE
WITH mine AS MATERIALIZED (SELECT model_key, vector FROM store.vectors WHERE sample_id = id),
pulls AS (
    SELECT o.model_key, d.dataset AS reference, o.sample_id, list_inner_product(v.vector, store.floats(o.vector, o.unit)) AS value
    FROM store.datasets AS d JOIN store.rows AS r ON r.dataset = d.dataset AND r.retired_at IS NULL
    JOIN store.packed AS o ON o.sample_id = r.sample_id JOIN mine AS v ON v.model_key = o.model_key
    WHERE d.role = 'reference' AND o.sample_id <> id
    QUALIFY row_number() OVER (PARTITION BY o.model_key, d.dataset ORDER BY value DESC, o.sample_id) <= n
         OR row_number() OVER (PARTITION BY o.model_key, d.dataset ORDER BY value, o.sample_id) <= n
)
SELECT m.model, p.reference, p.sample_id, p.value, r.prompt, r.answer
FROM pulls AS p JOIN store.models AS m USING (model_key)
JOIN rows AS r ON r.sample_id = p.sample_id AND r.dataset = p.reference
ORDER BY m.model, p.reference, p.value DESC;

-- The n nearest rows of the same dataset that no check flags, by the cosine of the first answer states. A cosine does not
-- depend on the unit of the packed index.
CREATE OR REPLACE MACRO nearest_accepted(id, n := 5) AS TABLE
WITH mine AS MATERIALIZED (SELECT model_key, state FROM store.vectors WHERE sample_id = id),
far AS (
    SELECT o.model_key, o.sample_id, list_cosine_similarity(v.state, o.state::FLOAT[]) AS cosine
    FROM store.packed AS o JOIN mine AS v USING (model_key) WHERE o.sample_id <> id
),
near AS (
    SELECT f.model_key, r.dataset, f.sample_id, f.cosine
    FROM far AS f JOIN store.rows AS r ON r.sample_id = f.sample_id AND r.retired_at IS NULL
    ANTI JOIN (SELECT dataset, sample_id FROM store.flags WHERE severity IN ('warning', 'critical')) AS g
        ON g.dataset = r.dataset AND g.sample_id = r.sample_id
    WHERE r.dataset IN (SELECT dataset FROM store.rows WHERE sample_id = id AND retired_at IS NULL)
    QUALIFY row_number() OVER (PARTITION BY f.model_key, r.dataset ORDER BY f.cosine DESC, f.sample_id) <= n
)
SELECT m.model, e.dataset, e.sample_id, e.cosine, r.prompt, r.answer
FROM near AS e JOIN store.models AS m USING (model_key)
JOIN rows AS r ON r.sample_id = e.sample_id AND r.dataset = e.dataset
ORDER BY m.model, e.dataset, e.cosine DESC;

-- Everything that the database holds about a row, one fact per line.
CREATE OR REPLACE MACRO explain(id) AS TABLE
SELECT 1 AS step, 'source' AS fact, dataset AS about, source_file || ', line ' || source_line AS detail FROM row_sources WHERE sample_id = id
UNION ALL SELECT 2, 'prompt', dataset, prompt FROM rows WHERE sample_id = id
UNION ALL SELECT 3, 'answer', dataset, answer FROM rows WHERE sample_id = id
UNION ALL
SELECT 3, 'picture', dataset, format('{} ({} x {}, {})', image.path, image.width, image.height, image.mode)
FROM (SELECT dataset, unnest(images) AS image FROM rows WHERE sample_id = id)
UNION ALL
SELECT 4, 'score', dataset || ' against ' || reference || ', ' || model,
       format('value {:.4g}, per token {:.4g}, nll {:.3f}, worst token {:.2f}, conditional gain {}', value, value_per_token, nll, worst_token,
              coalesce(format('{:.3f}', conditional_gain), 'not measured'))
       || coalesce(format(', gain of the picture {:.3f}', image_gain), '')
FROM scores WHERE sample_id = id
UNION ALL
(SELECT 5, 'token', model, format('{} {}: value {:.4g}, log-probability {:.2f}', position, coalesce(nullif(token, ''), '(no text)'), value, logprob)
 FROM token_scores WHERE sample_id = id ORDER BY value LIMIT 5)
UNION ALL
SELECT 6, 'suspicion', dataset || ' against ' || reference || ', ' || model,
       format('{:.2f}, p {:.3g}, q {:.3g}; most like {}; what weighs most: {}', suspicion, p_value, q_value, looks_like,
              coalesce(nullif(array_to_string(signals, ', '), ''), 'nothing'))
       || coalesce(format('; probability of the answer by the label probe {:.3f}', label_probe), '')
FROM suspicions WHERE sample_id = id
UNION ALL SELECT 7, 'flag', dataset, check_name || ' (' || severity || '): ' || reason FROM flags WHERE sample_id = id
UNION ALL
SELECT 8, CASE WHEN value > 0 THEN 'pulled up by' ELSE 'pulled down by' END, reference || ', ' || model,
       format('{} ({:.4g}): {} -> {}', left(sample_id, 12), value, left(prompt, 100), left(answer, 100))
FROM influences(id, 2)
UNION ALL
SELECT 9, 'nearest accepted', dataset || ', ' || model,
       format('{} (cosine {:.3f}): {} -> {}', left(sample_id, 12), cosine, left(prompt, 100), left(answer, 100))
FROM nearest_accepted(id, 3)
UNION ALL
SELECT 10, 'verdict', dataset, verdict || if(trusted_as IS NULL, '', ' and trust') || ' by ' || who || ' at ' || strftime(decided_at, '%Y-%m-%d %H:%M')
       || CASE WHEN why != '' THEN ': ' || why ELSE '' END || coalesce(', with the answer: ' || answer, '')
FROM verdict_history WHERE sample_id = id
UNION ALL SELECT 11, 'split', split || '/v' || version, decision || ': ' || reason FROM split_rows WHERE sample_id = id
ORDER BY step, about;

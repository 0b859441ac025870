-- Decide keep or drop for every current row of the dataset, with rank, cause and reason. A person's verdict overrides flags
-- and value.
CREATE OR REPLACE TEMP TABLE decided AS
WITH current_rows AS (
    SELECT r.sample_id, md5(coalesce(v.record::VARCHAR, r.record)) AS content, v.record, v.verdict, v.who, v.why,
           CASE WHEN $per IS NOT NULL THEN metadata::JSON->>$pointer END AS part
    FROM store.rows AS r LEFT JOIN verdicts AS v ON v.dataset = r.dataset AND v.sample_id = r.sample_id
    WHERE r.dataset = $dataset AND retired_at IS NULL
),
scored AS (
    SELECT sample_id, value, answer_tokens,
           CASE $by WHEN 'value' THEN value / pow(answer_tokens, $length_penalty) WHEN 'value_per_token' THEN value_per_token ELSE 0 END AS merit
    FROM store.fresh_scores($model_key, $reference, $reference_hash)
),
refused_by_model AS (
    SELECT sample_id, any_value(reason) AS reason FROM store.unscorable WHERE model_key = $model_key GROUP BY sample_id
),
flagged AS (
    SELECT sample_id, min_by(check_name || ': ' || reason, (severity != 'critical', check_name)) AS first_flag, count(*) AS flags
    FROM store.flags
    WHERE dataset = $dataset AND severity IN ('critical', 'warning')
    GROUP BY sample_id
),
judged AS (
    SELECT c.sample_id, c.content, c.record, c.part, c.verdict IS NOT NULL AS by_hand, s.value, s.answer_tokens, s.merit, md5(c.sample_id || $seed) AS draw,
           CASE c.verdict WHEN 'keep' THEN 'kept by ' || c.who ELSE 'kept with another answer by ' || c.who END
           || CASE WHEN c.why != '' THEN ' (' || c.why || ')' ELSE '' END AS verdict_text,
           CASE WHEN c.verdict = 'drop' THEN 'verdict'
                WHEN s.merit IS NULL OR NOT isfinite(s.merit) THEN 'unscored'
                WHEN $drop = 'flagged' AND f.sample_id IS NOT NULL AND c.verdict IS NULL THEN 'flag'
                WHEN t.sample_id IS NOT NULL AND c.verdict IS NULL THEN 'near duplicate'
           END AS refused_for,
           CASE refused_for
                WHEN 'verdict' THEN 'dropped by hand: ' || c.who || CASE WHEN c.why != '' THEN ', ' || c.why ELSE '' END
                WHEN 'unscored' THEN 'not scored: ' || CASE WHEN s.sample_id IS NULL THEN coalesce(u.reason, 'no score yet')
                                                            ELSE 'its value is not a number' END
                WHEN 'flag' THEN 'flagged by ' || f.first_flag || CASE WHEN f.flags > 1 THEN ' (and ' || (f.flags - 1) || ' more)' ELSE '' END
                WHEN 'near duplicate' THEN format('nearly the same as {}: cosine {:.3f}', t.better, t.cosine)
           END AS refusal
    FROM current_rows AS c
    LEFT JOIN scored AS s USING (sample_id)
    LEFT JOIN refused_by_model AS u USING (sample_id)
    LEFT JOIN flagged AS f USING (sample_id)
    LEFT JOIN near_repeats AS t USING (sample_id)
),
-- The budget of each part is proportional to its rows; row budgets are rounded by the largest-remainder method.
parts AS (
    SELECT part, count(*) AS size, count(*) / sum(count(*)) OVER () AS share FROM judged GROUP BY part
),
quotas AS (
    SELECT part, share, size,
           CASE WHEN $keep IS NOT NULL THEN floor($keep * size + 1e-9)
                WHEN $rows IS NOT NULL THEN floor($rows * share + 1e-9) ELSE size
           END AS floor_budget,
           CASE WHEN $rows IS NOT NULL THEN $rows * share - floor($rows * share + 1e-9) ELSE 0 END AS remainder
    FROM parts
),
budgets AS (
    SELECT part, $tokens * share AS token_budget,
           floor_budget + CASE WHEN $rows IS NOT NULL
                             AND row_number() OVER (ORDER BY remainder DESC, part) <= least($rows, sum(size) OVER ()) - sum(floor_budget) OVER ()
                        THEN 1 ELSE 0 END AS row_budget
    FROM quotas
),
part_ranks AS (
    SELECT sample_id, part, value, answer_tokens, draw,
           row_number() OVER by_merit AS rank, row_number() OVER in_part AS part_rank,
           sum(answer_tokens) OVER (in_part ROWS UNBOUNDED PRECEDING) AS tokens_so_far,
           count(*) OVER (PARTITION BY part) AS candidates
    FROM judged
    WHERE refused_for IS NULL
    WINDOW by_merit AS (ORDER BY by_hand DESC, merit DESC, draw, sample_id),
           in_part AS (PARTITION BY part ORDER BY by_hand DESC, merit DESC, draw, sample_id)
),
-- The best rows fill (1 - random_share) of the budget; the rest of the budget is drawn at random.
ranked AS (
    SELECT p.*, p.part_rank <= floor((1 - $random_share) * b.row_budget + 1e-9)
                AND coalesce(p.tokens_so_far <= (1 - $random_share) * b.token_budget, true) AS best,
           row_number() OVER turns AS turn, sum(p.answer_tokens) OVER (turns ROWS UNBOUNDED PRECEDING) AS tokens_by_turn
    FROM part_ranks AS p JOIN budgets AS b ON b.part IS NOT DISTINCT FROM p.part
    WINDOW turns AS (PARTITION BY p.part ORDER BY best DESC, CASE WHEN best OR $random_share = 0 THEN p.part_rank END, p.draw, p.sample_id)
)
SELECT j.sample_id, j.content, j.record, r.rank, j.value, coalesce(j.answer_tokens, 0) AS answer_tokens,
       r.rank IS NOT NULL AND r.turn <= b.row_budget AND coalesce(r.tokens_by_turn <= b.token_budget, true) AS kept,
       CASE WHEN j.refused_for IS NOT NULL THEN j.refused_for
            WHEN kept AND j.by_hand THEN 'verdict'
            WHEN kept AND NOT r.best AND $random_share > 0 THEN 'draw'
            ELSE 'rank'
       END AS cause,
       CASE WHEN cause = 'verdict' AND kept THEN 'kept by hand: ' || j.verdict_text
            WHEN j.refusal IS NOT NULL THEN j.refusal
            WHEN cause = 'draw' THEN 'kept: drawn at random, rank ' || r.part_rank || ' of ' || r.candidates || ' by ' || $by
            ELSE CASE WHEN kept THEN 'kept: rank ' ELSE 'over budget: rank ' END || r.part_rank || ' of ' || r.candidates
                 || CASE WHEN $per IS NOT NULL THEN ' in ' || $per || ' ' || coalesce(left(j.part, 100), '(none)') ELSE '' END || ' by ' || $by
                 || CASE WHEN kept THEN ''
                         WHEN $tokens IS NOT NULL THEN ', ' || floor(b.token_budget)::BIGINT || ' answer tokens kept at most'
                         ELSE ', ' || b.row_budget::BIGINT || ' kept' END
       END AS reason
FROM judged AS j
JOIN budgets AS b ON b.part IS NOT DISTINCT FROM j.part
LEFT JOIN ranked AS r ON r.sample_id = j.sample_id;

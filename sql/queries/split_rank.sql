-- Rank the rows that may be kept, and decide keep or drop for every row, with cause and reason. A verdict comes first; then,
-- by match, the places of the table `matches`, else the merit.
CREATE OR REPLACE TEMP TABLE decided AS
WITH placed AS (
    SELECT j.*, m.place, m.matched_to, m.round, m.similarity, m.is_suspicious, CASE WHEN $by = 'match' THEN -m.place ELSE j.merit END AS order_by,
           CASE WHEN m.is_suspicious THEN coalesce('like ' || s.looks_like || ', ', '') || format('p {:.2g}', s.p_value) END AS looks
    FROM judged AS j LEFT JOIN matches AS m USING (sample_id)
    LEFT JOIN store.fresh_suspicions($dataset, $model_key, $reference, $reference_hash, 'dataset') AS s ON s.sample_id = j.sample_id
),
part_ranks AS (
    SELECT sample_id, part, value, answer_tokens, draw,
           row_number() OVER by_merit AS rank, row_number() OVER in_part AS part_rank,
           sum(answer_tokens) OVER (in_part ROWS UNBOUNDED PRECEDING) AS tokens_so_far,
           count(*) OVER (PARTITION BY part) AS candidates
    FROM placed
    WHERE refused_for IS NULL
    WINDOW by_merit AS (ORDER BY by_hand DESC, order_by DESC, draw, sample_id),
           in_part AS (PARTITION BY part ORDER BY by_hand DESC, order_by DESC, draw, sample_id)
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
       j.matched_to, CASE WHEN kept THEN j.round END AS round, j.similarity,
       CASE WHEN j.refused_for IS NOT NULL THEN j.refused_for
            WHEN kept AND j.by_hand THEN 'verdict'
            WHEN kept AND NOT r.best AND $random_share > 0 THEN 'draw'
            WHEN NOT kept AND j.is_suspicious THEN 'suspicion'
            ELSE 'rank'
       END AS cause,
       CASE WHEN $per IS NOT NULL THEN ' in ' || $per || ' ' || coalesce(left(j.part, 100), '(none)') ELSE '' END AS in_part,
       CASE WHEN $tokens IS NOT NULL THEN floor(b.token_budget)::BIGINT || ' answer tokens kept at most' ELSE b.row_budget::BIGINT || ' kept' END AS budget,
       format('trusted row {} (cosine {:.2f})', left(j.matched_to, 12), j.similarity) AS teacher,
       CASE WHEN cause = 'verdict' AND kept THEN 'kept by hand: ' || j.verdict_text
            WHEN j.refusal IS NOT NULL THEN j.refusal
            WHEN cause = 'draw' THEN 'kept: drawn at random, rank ' || r.part_rank || ' of ' || r.candidates || ' by ' || $by
            WHEN $by = 'match' AND kept AND j.round IS NOT NULL THEN 'kept: round ' || j.round || ' for ' || teacher || in_part
            WHEN $by = 'match' AND kept AND j.matched_to IS NOT NULL
                THEN 'kept: the budget had room' || coalesce(' for suspicious rows (' || j.looks || ')', '') || ', nearest ' || teacher || in_part
            WHEN cause = 'suspicion' THEN 'suspicious: ' || j.looks || '; rows that look less wrong come first, ' || budget || in_part
            WHEN $by = 'match' AND NOT kept AND j.matched_to IS NOT NULL THEN 'over budget: nearest ' || teacher || in_part || ', ' || budget
            ELSE CASE WHEN kept THEN 'kept: rank ' ELSE 'over budget: rank ' END || r.part_rank || ' of ' || r.candidates
                 || in_part || ' by ' || $by || CASE WHEN kept THEN '' ELSE ', ' || budget END
       END AS reason
FROM placed AS j
JOIN budgets AS b ON b.part IS NOT DISTINCT FROM j.part
LEFT JOIN ranked AS r ON r.sample_id = j.sample_id;

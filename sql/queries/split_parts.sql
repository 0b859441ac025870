-- What is left of each part's budget for rows that no person keeps, without the share that is drawn at random.
SELECT b.part, greatest(floor((1 - $random_share) * b.row_budget + 1e-9) - count(j.sample_id), 0)::BIGINT AS row_budget,
       CASE WHEN b.token_budget IS NOT NULL  -- greatest ignores nulls
            THEN greatest(floor((1 - $random_share) * b.token_budget + 1e-9) - coalesce(sum(j.answer_tokens), 0), 0)::BIGINT
       END AS token_budget
FROM budgets AS b LEFT JOIN judged AS j ON j.part IS NOT DISTINCT FROM b.part AND j.by_hand AND j.refused_for IS NULL
GROUP BY b.part, b.row_budget, b.token_budget ORDER BY b.part;

-- The budget of each part is proportional to its rows; row budgets are rounded by the largest-remainder method.
CREATE OR REPLACE TEMP TABLE budgets AS
WITH parts AS (
    SELECT part, count(*) AS size, count(*) / sum(count(*)) OVER () AS share FROM judged GROUP BY part
),
quotas AS (
    SELECT part, share, size,
           CASE WHEN $keep IS NOT NULL THEN floor($keep * size + 1e-9)
                WHEN $rows IS NOT NULL THEN floor($rows * share + 1e-9) ELSE size
           END AS floor_budget,
           CASE WHEN $rows IS NOT NULL THEN $rows * share - floor($rows * share + 1e-9) ELSE 0 END AS remainder
    FROM parts
)
SELECT part, $tokens * share AS token_budget,
       floor_budget + CASE WHEN $rows IS NOT NULL
                         AND row_number() OVER (ORDER BY remainder DESC, part) <= least($rows, sum(size) OVER ()) - sum(floor_budget) OVER ()
                    THEN 1 ELSE 0 END AS row_budget
FROM quotas;

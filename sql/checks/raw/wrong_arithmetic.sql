-- warning: an equation between plain numbers that does not hold; results may be rounded, and equations with variables or units that differ are not judged
-- A CASE, because DuckDB may evaluate the conditions of a WHERE in any order, and Python is slow.
WITH evaluated AS (
    SELECT sample_id, dataset,
           CASE WHEN regexp_matches(answer, '\d.*(=|\bis\b|\bequals\b)[^\w\n]*\d') THEN wrong_equation(answer) END AS equation
    FROM rows
    WHERE dataset = getvariable('dataset')
)
SELECT sample_id, dataset, format('The answer has a wrong equation: {} would be right.', equation) AS reason
FROM evaluated
WHERE equation IS NOT NULL

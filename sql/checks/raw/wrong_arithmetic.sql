-- warning: an equation between plain numbers that does not hold; results may be rounded, and equations with variables or units that differ are not judged
WITH found AS (
    SELECT sample_id, dataset, wrong_equation(answer) AS equation
    FROM rows
    WHERE dataset = getvariable('dataset') AND regexp_matches(answer, '\d.*(=|\bis\b|\bequals\b)')
)
SELECT sample_id, dataset, format('The answer has a wrong equation: {} would be right.', equation) AS reason
FROM found
WHERE equation IS NOT NULL

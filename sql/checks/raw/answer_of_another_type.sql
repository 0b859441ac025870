-- info: an answer that such questions hardly ever get here, though it is common for others, is often of another type
-- Questions are told apart by their first two words. Only where an answer would be expected five times by chance, and is
-- there less than 0.15 times as often, does its absence say something.
WITH asked AS (
    SELECT sample_id, dataset, lower(trim(answer, E' \t\r\n.')) AS answer,
           regexp_extract(lower(trim(regexp_extract(prompt, '[^\n]*$'))), '^(\S+\s+\S+)', 1) AS beginning
    FROM rows
    WHERE dataset = getvariable('dataset') AND kind = 'vqa'
),
counted AS (
    SELECT *, count(*) OVER (PARTITION BY beginning, answer) AS here, count(*) OVER (PARTITION BY beginning) AS such,
           count(*) OVER (PARTITION BY answer) AS given, count(*) OVER () AS all_rows
    FROM asked
    WHERE beginning <> ''
)
SELECT sample_id, dataset,
       format('The answer "{}" is that of {} of {} questions that begin with "{}", but of {} of {} others.', left(answer, 40), here, such,
              left(beginning, 40), given - here, all_rows - such) AS reason
FROM counted
WHERE such * given / all_rows >= 5 AND here < 0.15 * such * given / all_rows

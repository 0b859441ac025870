-- info: an answer that is common in general but rare for this kind of question often has the wrong type
-- The kind of a question is its first two words. An answer counts as rare if it would be expected at least 5 times by chance
-- and occurs less than 0.15 times as often.
WITH questions AS (
    SELECT sample_id, dataset, lower(trim(answer, E' \t\r\n.')) AS answer,
           regexp_extract(lower(trim(regexp_extract(prompt, '[^\n]*$'))), '^(\S+\s+\S+)', 1) AS beginning
    FROM rows
    WHERE dataset = getvariable('dataset') AND kind = 'vqa'
),
counted AS (
    SELECT *, count(*) OVER (PARTITION BY beginning, answer) AS here, count(*) OVER (PARTITION BY beginning) AS such,
           count(*) OVER (PARTITION BY answer) AS given, count(*) OVER () AS all_rows
    FROM questions
    WHERE beginning <> ''
)
SELECT sample_id, dataset,
       format('The answer "{}" is given to {} of {} questions that begin with "{}", but to {} of {} other questions.', left(answer, 40), here, such,
              left(beginning, 40), given - here, all_rows - such) AS reason
FROM counted
WHERE such * given / all_rows >= 5 AND here < 0.15 * such * given / all_rows

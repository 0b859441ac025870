-- warning: a card, bank account or identity number whose check digits are right is a person's, and a model that learns it can tell it to anyone
-- Python tests the numbers of the rows that have any of the right form.
WITH proven AS (
    SELECT sample_id, dataset,
           CASE WHEN regexp_matches(prompt, '[0-9][0-9. \x{A0}-]{10}|[A-Za-z]{2}[0-9]{2}|2[AB] ?[0-9]{3}') THEN personal_number(prompt) END AS in_prompt,
           CASE WHEN regexp_matches(answer, '[0-9][0-9. \x{A0}-]{10}|[A-Za-z]{2}[0-9]{2}|2[AB] ?[0-9]{3}') THEN personal_number(answer) END AS in_answer
    FROM rows
    WHERE dataset = getvariable('dataset')
)
SELECT sample_id, dataset,
       format('The {} holds {}; its check digits are right.', CASE WHEN in_answer IS NULL THEN 'prompt' ELSE 'answer' END,
              coalesce(in_answer, in_prompt)) AS reason
FROM proven
WHERE in_prompt IS NOT NULL OR in_answer IS NOT NULL

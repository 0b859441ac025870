-- info: rows with the same prompt and different answers may contradict each other; open questions may have several good answers
WITH mine AS (
    SELECT sample_id, dataset, prompt, answer
    FROM rows
    WHERE dataset = getvariable('dataset') AND kind = 'instruction'
),
several AS (
    SELECT prompt, count(DISTINCT answer) AS answers FROM mine GROUP BY prompt HAVING answers > 1
)
SELECT sample_id, dataset,
       format('The dataset holds {} different answers to this prompt; this is one of them.', answers) AS reason
FROM mine JOIN several USING (prompt)

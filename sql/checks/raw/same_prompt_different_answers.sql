-- info: rows that answer one prompt differently may contradict each other; open questions may have several good answers
WITH mine AS (
    SELECT sample_id, dataset, prompt, answer, coalesce(list_transform(images, lambda i: i.sha256), []) AS pictures
    FROM rows
    WHERE dataset = getvariable('dataset')
),
several AS (
    SELECT prompt, pictures, count(DISTINCT answer) AS answers
    FROM mine SEMI JOIN (SELECT prompt FROM mine GROUP BY prompt HAVING count(*) > 1) USING (prompt)
    GROUP BY prompt, pictures
    HAVING answers > 1
)
SELECT sample_id, dataset,
       format('The dataset holds {} different answers to this prompt; this is one of them.', answers) AS reason
FROM mine JOIN several USING (prompt, pictures)

-- info: a question about a picture with several answers has at most one right answer, unless it is a matter of opinion
WITH mine AS (
    SELECT sample_id, dataset, lower(trim(prompt)) AS prompt, lower(trim(answer)) AS answer,
           list_transform(images, lambda i: i.sha256) AS pictures
    FROM rows
    WHERE dataset = getvariable('dataset') AND kind = 'vqa'
),
several AS (
    SELECT prompt, pictures, list(DISTINCT left(answer, 40) ORDER BY left(answer, 40)) AS answers
    FROM mine
    GROUP BY prompt, pictures
    HAVING count(DISTINCT answer) > 1
)
SELECT sample_id, dataset,
       format('The same question about the same picture has {} different answers: {}.', len(answers),
              array_to_string(answers[:5], ', ')) AS reason
FROM mine JOIN several USING (prompt, pictures)

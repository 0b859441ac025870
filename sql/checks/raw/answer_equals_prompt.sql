-- warning: an answer that repeats its question teaches the model to echo
-- Trimming long texts is slow, so the first test is only whether the prompt contains the beginning of the answer.
WITH likely AS MATERIALIZED (
    SELECT sample_id, dataset, prompt, answer, messages
    FROM rows
    WHERE dataset = getvariable('dataset')
      AND contains(lower(prompt), lower(rtrim(left(ltrim(answer, E' \t\r\n'), 32), E' \t\r\n')))
),
folded AS (
    SELECT sample_id, dataset, lower(trim(answer, E' \t\r\n')) AS answer, lower(trim(prompt, E' \t\r\n')) AS prompt,
           messages->>'$[#-2].role' AS role, lower(trim(messages->>'$[#-2].content', E' \t\r\n')) AS turn
    FROM likely
)
SELECT sample_id, dataset,
       format('The answer repeats the question: {} characters, the same but for case and surrounding white space.',
              length(answer)) AS reason
FROM folded
WHERE answer = prompt OR (answer = turn AND role = 'user')

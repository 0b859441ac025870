-- warning: an answer that repeats its question teaches the model to echo
-- The cheap test comes first: whatever repeats the question is how the prompt ends. Only then is the JSON read.
WITH folded AS (
    SELECT sample_id, dataset, messages,
           lower(trim(prompt, E' \t\r\n')) AS prompt, lower(trim(answer, E' \t\r\n')) AS answer
    FROM rows
    WHERE dataset = getvariable('dataset')
)
SELECT sample_id, dataset,
       format('The answer repeats the question: {} characters, the same but for case and surrounding white space.',
              length(answer)) AS reason
FROM folded
WHERE CASE WHEN prompt = answer THEN true
           WHEN answer <> '' AND ends_with(prompt, answer) THEN
               coalesce(messages->>'$[#-2].role' = 'user'
                        AND lower(trim(messages->>'$[#-2].content', E' \t\r\n')) = answer, false)
           ELSE false END

-- Prompts that are the same but for case, spaces and punctuation, with different answers.
-- parameter: n = 20
SELECT dataset, any_value(prompt) AS prompt, count(*) AS rows, list(left(answer, 80) ORDER BY sample_id) AS answers,
       list(sample_id ORDER BY sample_id) AS sample_ids
FROM (SELECT *, regexp_replace(lower(prompt), '[^\pL\pN]+', ' ', 'g') AS plain FROM rows WHERE len(images) = 0)
WHERE trim(plain) != ''
GROUP BY dataset, trim(plain)
HAVING count(DISTINCT answer) > 1
ORDER BY rows DESC, prompt LIMIT getvariable('n')

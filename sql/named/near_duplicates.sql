-- Prompts that differ only in case, spaces and punctuation and have different answers; text rows only.
-- parameter: n = 20
WITH plain AS MATERIALIZED (  -- hashes, because sorting the texts would take longer than everything else
    SELECT dataset, sample_id, hash(answer) AS answer, hash(translate(lower(rtrim(prompt, '.,!? ')), E' \t\r\n!?;:"''`()“”‘’', '')) AS plain
    FROM rows WHERE kind = 'instruction'
),
same AS (
    SELECT dataset, plain, count(*) AS rows FROM plain GROUP BY ALL HAVING count(DISTINCT answer) > 1
    ORDER BY rows DESC, plain LIMIT getvariable('n')
)
SELECT s.dataset, min(r.prompt) AS prompt, any_value(s.rows) AS rows, list(left(r.answer, 80) ORDER BY r.sample_id) AS answers,
       list(r.sample_id ORDER BY r.sample_id) AS sample_ids
FROM same AS s JOIN plain AS p USING (dataset, plain) JOIN rows AS r ON r.dataset = p.dataset AND r.sample_id = p.sample_id
GROUP BY s.dataset, s.plain
ORDER BY rows DESC, prompt

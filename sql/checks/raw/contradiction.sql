-- info: rows that ask the same and answer yes and no, or different numbers or options, cannot all be right; a person has to say which is
-- Prompts are the same if they differ only in case, white space, quotes and their last signs, and have the same pictures
-- and tools. Only answers of one kind are compared: yes and no, numbers, letters of options, frequent labels, options that
-- the prompt names. Prompts that ask for an opinion, a guess or an example, or whose answer changes with time, are left out.
-- An answer that more rows give than any other is not flagged; a row counts as often as it stands in the files.
WITH short_answers AS (
    SELECT sample_id, dataset, coalesce(list_transform(images, lambda i: i.sha256), []) AS pictures, coalesce(tools::VARCHAR, '') AS tools,
           lower(prompt) AS question, hash(rtrim(translate(lower(prompt), E' \t\r\n"''“”‘’', ''), '.?!:')) AS same,  -- texts take longer to compare
           lower(trim(CASE WHEN contains(answer, '####') THEN regexp_extract(answer, '####\s*([^\n]*)', 1) ELSE answer END, E' \t\r\n."*''`')) AS said
    FROM rows
    WHERE dataset = getvariable('dataset') AND (length(answer) <= 60 OR contains(answer, '####'))
),
repeated AS (
    SELECT * FROM short_answers
    QUALIFY count(*) OVER (PARTITION BY same, pictures, tools) > 1
),
parsed AS (
    SELECT *, regexp_extract(said, '^(yes|no|true|false|correct|incorrect)(?:$|[,.;:!])', 1) AS verdict,
           regexp_extract(said, '^\(?([a-j])\)?(?:$|[.:] |\) )', 1) AS letter,
           regexp_extract(said, '^[$€£]?(-?\d[\d,]*(?:\.\d+)?) ?(%|[a-z]*)$', ['digits', 'unit']) AS figure,
           coalesce(try_cast(replace(figure['digits'], ',', '') AS DOUBLE),
                    list_position(['zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten'], said) - 1) AS number,
           regexp_extract(said, '^(?:very )?((?:not )?(?:positive|negative|neutral|entailment|contradiction|spam|ham|toxic|offensive|hateful|sarcastic|fake|real|male|female|valid|invalid|plausible|implausible|acceptable|unacceptable|equivalent|paraphrase|duplicate|same|different|subjective|objective|safe|unsafe|relevant|irrelevant))$', 1) AS label,
           contains(question, said) AND regexp_matches(question, '\b(?:or|options|choices|choose|classify|categor\w+|label)\b') AS is_option
    FROM repeated
    WHERE NOT regexp_matches(left(question, 150) || ' ' || right(question, 150),
              '\b(?:random\w*|examples?|guess|estimate\w*|roughly|approximat\w*|favou?rite|pick|think of|imagine|suggest\w*|do you (?:like|think|prefer|feel|want|have|know|believe|agree|enjoy|love)|are you|would you|your (?:name|age|opinion|view|mood|idea|thoughts)|should|today|now|current\w*|latest|generate|create|write|give me|name (?:a|an|one|some|any)|opinion|believe|feel|prefer)\b')
),
votes AS (
    SELECT p.* EXCLUDE (said), nullif(figure['unit'], '') AS unit,
           CASE WHEN verdict <> '' THEN 'yes or no' WHEN number IS NOT NULL THEN 'number' WHEN letter <> '' THEN 'letter' WHEN label <> '' THEN 'label' WHEN is_option THEN 'option' END AS kind,
           CASE kind WHEN 'yes or no' THEN CASE WHEN verdict IN ('yes', 'true', 'correct') THEN 'yes' ELSE 'no' END
                     WHEN 'number' THEN format('{:.15g}', number) WHEN 'letter' THEN letter WHEN 'label' THEN label ELSE p.said END AS said,
           (SELECT count(*) FROM row_sources AS s WHERE s.dataset = p.dataset AND s.sample_id = p.sample_id) AS times
    FROM parsed AS p
    WHERE kind IS NOT NULL
),
counted AS (
    SELECT same, pictures, tools, kind, said, sum(times)::BIGINT AS times, any_value(number) AS number, any_value(unit) AS unit
    FROM votes
    GROUP BY ALL
),
contradicted AS (
    SELECT same, pictures, tools, kind, list({'said': said, 'times': times} ORDER BY times DESC, said) AS answers
    FROM counted
    GROUP BY ALL
    HAVING count(*) > 1 AND count(DISTINCT unit) <= 1
       -- rounded numbers agree; whole numbers below 10,000 are counts and years
       AND (kind <> 'number' OR max(abs(number)) < 10000 AND bool_and(number = floor(number)) OR max(number) - min(number) > 0.05 * max(abs(number)))
       -- "New York" and "York" agree
       AND (kind <> 'option' OR NOT list_bool_or(list_transform(list(said), lambda a: len(list_filter(list(said), lambda b: contains(a, b))) > 1)))
)
SELECT sample_id, dataset,
       format('Rows that ask the same answer {}; this one answers {}.',
              array_to_string(list_transform(answers[:4], lambda a: format('{} ({})', left(a.said, 30), CASE a.times WHEN 1 THEN 'once' ELSE format('{} times', a.times) END)), ', '), left(said, 30)) AS reason
FROM votes JOIN contradicted USING (same, pictures, tools, kind)
WHERE said <> answers[1].said OR answers[1].times = answers[2].times

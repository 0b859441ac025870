-- What is held of a row, or of one that was forgotten before. Each dataset may have its pictures elsewhere. Quotes: how a
-- reason would quote its texts, but for those that another row has too and for short numbers.
WITH mine AS (FROM store.rows WHERE sample_id = $sample_id),
texts AS (SELECT unnest([prompt, answer]) AS text FROM mine)
SELECT (SELECT list(DISTINCT dataset) FROM mine) AS datasets,
       (SELECT list(DISTINCT one.path) FROM (SELECT unnest(images) AS one FROM mine)) AS paths,
       (SELECT list(DISTINCT lower(left(trim(text, E' \t\r\n'), 32))) FROM texts
        WHERE text NOT IN (SELECT unnest([prompt, answer]) FROM store.rows WHERE sample_id <> $sample_id)
          AND (length(text) > 4 OR regexp_matches(text, '\pL.*\pL'))) AS quotes,
       (FROM store.forgotten SELECT count(*) WHERE sample_id = $sample_id) > 0 AS forgotten;

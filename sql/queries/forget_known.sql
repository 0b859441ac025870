-- What the database holds of a row, and by whom and when it was forgotten before. `paths`: its pictures in each dataset. `quotes`: its
-- texts as a reason would quote them, without texts that a row other than its copies has too and without short numbers.
WITH mine AS (FROM store.rows WHERE sample_id = $sample_id),
texts AS (SELECT unnest([prompt, answer]) AS text FROM mine)
SELECT (SELECT list(DISTINCT dataset) FROM mine) AS datasets,
       (SELECT list(DISTINCT image.path) FROM (SELECT unnest(images) AS image FROM mine)) AS paths,
       (SELECT list(DISTINCT lower(left(trim(text, E' \t\r\n'), 32))) FROM texts
        WHERE text NOT IN (SELECT unnest([prompt, answer]) FROM store.rows WHERE sample_id NOT IN (FROM store.copies($sample_id)))
          AND (length(text) > 4 OR regexp_matches(text, '\pL.*\pL'))) AS quotes,
       (FROM store.forgotten SELECT format('by {} at {}', who, strftime(forgotten_at, '%Y-%m-%d %H:%M')) WHERE sample_id = $sample_id) AS forgotten;

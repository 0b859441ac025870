-- Rows of the same content that differ in columns that are not read: they are no duplicates, so each variant gets an id of its
-- own, a hash of the content and of all unread columns of its first row. That id does not depend on other rows, so a forgotten
-- variant stays forgotten when the others leave the files. Two kinds of columns make no variant: identifiers, and labels, which
-- are single words that occur 100 times each on average. `columns` is null for a row that has no variant now and was forgotten.
CREATE OR REPLACE TEMP TABLE variants AS
WITH alike AS (
    SELECT position, sample_id, metadata, source_file, source_line FROM read_parquet($rows)
    WHERE sample_id IN (SELECT sample_id FROM places WHERE NOT is_first)
),
cells AS (
    SELECT a.position, a.sample_id, c.key AS column_name, c.value::VARCHAR AS cell
    FROM alike AS a, json_each(a.metadata) AS c
    WHERE c.type <> 'NULL' AND NOT regexp_matches(c.key, $identifier)
),
varying AS (SELECT sample_id, column_name FROM cells GROUP BY ALL HAVING count(DISTINCT cell) > 1),
labels AS (
    SELECT column_name
    FROM (SELECT v.column_name, r.metadata ->> ('/' || replace(replace(v.column_name, '~', '~0'), '/', '~1')) AS label
          FROM (SELECT DISTINCT column_name FROM varying) AS v, read_parquet($rows) AS r)
    GROUP BY ALL HAVING count(label) >= 100 * count(DISTINCT label) AND NOT bool_or(regexp_matches(label, '\s'))
),
different AS (
    SELECT position, list(column_name ORDER BY column_name) AS columns, list(cell ORDER BY column_name) AS variant
    FROM cells SEMI JOIN (FROM varying ANTI JOIN labels USING (column_name)) AS v USING (sample_id, column_name)
    GROUP BY ALL
),
apart AS (
    SELECT a.position, a.sample_id AS content_id, d.columns,
           first_value(a.metadata) OVER (PARTITION BY a.sample_id, d.variant ORDER BY a.source_file, a.source_line) AS unread
    FROM alike AS a JOIN different AS d USING (position)
)
SELECT position, content_id, columns, left(sha256(content_id || unread), 32) AS sample_id FROM apart
UNION ALL
SELECT position, content_id, NULL, variant_id
FROM (SELECT position, sample_id AS content_id, left(sha256(sample_id || metadata), 32) AS variant_id
      FROM read_parquet($rows) WHERE EXISTS (FROM store.forgotten))
ANTI JOIN apart USING (position)
WHERE variant_id IN (SELECT sample_id FROM store.forgotten);

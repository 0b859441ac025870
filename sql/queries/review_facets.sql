-- What the review queue can be filtered by, with the rows of each value. A source is a file, or a value of a metadata column
-- that has few values.
WITH described AS MATERIALIZED (
    SELECT r.metadata FROM review_queue AS q JOIN rows AS r ON r.sample_id = q.sample_id AND r.dataset = $dataset
),
names AS (
    SELECT name, '/' || replace(replace(name, '~', '~0'), '/', '~1') AS pointer
    FROM (SELECT DISTINCT unnest(json_keys(metadata)) AS name FROM described)
),
counted AS (
    SELECT n.name AS part, json_extract_string(d.metadata, n.pointer) AS value, count(*) AS rows
    FROM described AS d, names AS n
    WHERE json_type(d.metadata, n.pointer) IN ('VARCHAR', 'BOOLEAN', 'UBIGINT', 'BIGINT', 'DOUBLE')
    GROUP BY ALL
),
metadata AS (
    FROM counted
    QUALIFY count(*) OVER (PARTITION BY part) BETWEEN 2 AND $most AND max(len(value)) OVER (PARTITION BY part) <= 100
)
SELECT 'all' AS facet, '' AS part, '' AS value, count(*) AS rows FROM review_queue
UNION ALL
SELECT 'check', '', value, count(*) FROM (SELECT unnest(checks) AS value FROM review_queue) GROUP BY value
UNION ALL
SELECT 'looks_like', '', looks_like, count(*) FROM review_queue WHERE looks_like IS NOT NULL GROUP BY looks_like
UNION ALL
SELECT 'source', '', source_file, count(*) FROM review_queue GROUP BY source_file
UNION ALL
SELECT 'source', part, value, rows FROM metadata
ORDER BY facet, part, rows DESC, value;

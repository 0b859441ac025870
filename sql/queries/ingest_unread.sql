-- The columns that are not read, and whether they hold pictures that came inside the rows: their digests stand for them.
WITH pictured AS (
    SELECT DISTINCT field.key
    FROM read_parquet($rows) AS r, json_each(r.metadata) AS field
    WHERE contains(r.metadata, '"sha256:') AND regexp_matches(field.value::VARCHAR, '"sha256:[0-9a-f]{64}"')
)
SELECT column_name, column_name IN (SELECT key FROM pictured) AS has_pictures
FROM (SELECT DISTINCT unnest(json_keys(metadata)) AS column_name FROM read_parquet($rows))
ORDER BY ALL;

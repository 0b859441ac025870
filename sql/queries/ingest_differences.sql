-- The sets of columns in which rows differ that are alike otherwise: how many rows each, and some of these rows.
WITH kinds AS (
    SELECT columns, count(*) AS rows, list(position ORDER BY content_id, position)[:20] AS positions
    FROM variants GROUP BY columns ORDER BY rows DESC, columns LIMIT 3
)
SELECT columns, any_value(k.rows), list(r.record ORDER BY position)
FROM (SELECT columns, rows, unnest(positions) AS position FROM kinds) AS k JOIN read_parquet($rows) AS r USING (position)
GROUP BY columns ORDER BY any_value(k.rows) DESC, columns;

-- The values of an unread column that may name splits, the most frequent first.
SELECT metadata->>$column AS split, count(*) AS rows FROM read_parquet($rows)
WHERE split IS NOT NULL GROUP BY split ORDER BY rows DESC, split LIMIT 20;

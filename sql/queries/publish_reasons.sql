-- Reasons by kind: what stands before the first colon, which is the same for all rows of a kind.
SELECT split_part(reason, ':', 1) AS reason, count(*) AS rows FROM store.split_rows
WHERE split = $split AND version = $version AND decision = 'drop'
GROUP BY 1 ORDER BY rows DESC, 1;

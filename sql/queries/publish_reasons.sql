-- Dropped rows by kind of reason. The kind is the text before the first colon.
SELECT split_part(reason, ':', 1) AS reason, count(*) AS rows FROM store.split_rows
WHERE split = $split AND version = $version AND decision = 'drop'
GROUP BY 1 ORDER BY rows DESC, 1;

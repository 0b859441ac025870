-- Dropped rows of the newest version by kind of reason.
SELECT split_part(reason, ':', 1) AS reason, count(*) AS rows, version FROM store.split_rows JOIN (
    SELECT split, max(version) AS version FROM store.splits WHERE split = $split AND dataset = $dataset GROUP BY split
) USING (split, version)
WHERE decision = 'drop' GROUP BY ALL ORDER BY rows DESC, reason;

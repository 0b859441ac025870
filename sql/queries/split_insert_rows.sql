INSERT INTO store.split_rows
SELECT $split, $version, sample_id, CASE WHEN kept THEN 'keep' ELSE 'drop' END, reason, rank, value FROM decided;

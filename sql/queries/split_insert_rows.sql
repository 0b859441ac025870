INSERT INTO store.split_rows BY NAME
SELECT $split AS split, $version AS version, sample_id, CASE WHEN kept THEN 'keep' ELSE 'drop' END AS decision, cause, reason, rank, value,
       matched_to, round, similarity, CASE WHEN kept THEN record::VARCHAR END AS record
FROM decided;

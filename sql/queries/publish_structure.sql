SELECT json_group_structure(r.record::JSON)::VARCHAR
FROM store.split_rows AS d
JOIN store.splits AS s USING (split, version)
JOIN store.rows AS r ON r.sample_id = d.sample_id AND r.dataset = s.dataset
WHERE d.split = $split AND d.version = $version AND d.decision = 'keep';

INSERT INTO store.duplicates BY NAME
SELECT $dataset AS dataset, sample_id, source_file, source_line FROM places WHERE NOT is_first;

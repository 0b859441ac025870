SELECT sample_id FROM places WHERE is_first ORDER BY sample_id;

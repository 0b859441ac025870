SELECT json_group_structure(record::JSON)::VARCHAR FROM kept;

SELECT json_group_structure(record::JSON)::VARCHAR FROM store.kept_rows($split, $version);

-- Read in the inferred types, then cast to the target types: from_json alone would turn values that do not fit into NULL.
COPY (
    SELECT unnest(fields)
    FROM (
        SELECT sample_id, cast_to_type(from_json(record::JSON, $structure),
                                       from_json('{}'::JSON, $types)) AS fields
        FROM store.kept_rows($split, $version)
    )
    ORDER BY sample_id
) TO $file (FORMAT parquet, COMPRESSION zstd);

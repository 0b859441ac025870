-- Read in the types that are there, then cast to those that are wanted: from_json alone would make what does not fit NULL.
COPY (
    SELECT unnest(fields)
    FROM (
        SELECT sample_id, cast_to_type(from_json(record::JSON, $structure),
                                       from_json('{}'::JSON, $types)) AS fields
        FROM store.kept_rows($split, $version)
    )
    ORDER BY sample_id
) TO $file (FORMAT parquet, COMPRESSION zstd);

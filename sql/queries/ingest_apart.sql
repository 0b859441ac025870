COPY (
    SELECT r.* REPLACE (coalesce(v.sample_id, r.sample_id) AS sample_id)
    FROM read_parquet($rows) AS r
    LEFT JOIN (FROM variants WHERE $keep OR columns IS NULL) AS v USING (position)
) TO $file (FORMAT parquet, COMPRESSION lz4);

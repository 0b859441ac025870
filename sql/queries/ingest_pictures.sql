-- Store the inspected pictures, except those that only forgotten rows name.
INSERT INTO store.pictures BY NAME
SELECT $dataset AS dataset, * FROM read_parquet($pictures)
WHERE path NOT IN (
    SELECT unnest(images).path FROM read_parquet($rows) AS s SEMI JOIN store.forgotten AS f USING (sample_id)
    EXCEPT
    SELECT unnest(images).path FROM read_parquet($rows) AS s ANTI JOIN store.forgotten AS f USING (sample_id)
);

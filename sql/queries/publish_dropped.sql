-- The rows that a version drops, with their flags. The checks of a row are gathered as bits, because DuckDB keeps lists in
-- memory until all rows are read.
COPY (
    WITH named AS (
        SELECT dataset, check_name, row_number() OVER (ORDER BY check_name) - 1 AS position, count(*) OVER () AS checks
        FROM (SELECT DISTINCT dataset, check_name FROM store.flags JOIN store.splits USING (dataset)
              WHERE split = $split AND version = $version)
    ),
    gathered AS (
        SELECT f.sample_id, bit_or(set_bit(repeat('0', n.checks::INTEGER)::BIT, n.position::INTEGER, 1)) AS bits
        FROM store.flags AS f JOIN named AS n USING (dataset, check_name) GROUP BY ALL
    )
    SELECT d.sample_id, r.prompt, r.answer, list_transform(r.images, lambda image: image.path) AS images, d.reason, d.rank, d.value,
           CASE WHEN f.bits IS NOT NULL THEN list_filter(names, lambda name, i: get_bit(f.bits, (i - 1)::INTEGER) = 1) END AS flags
    FROM store.split_rows AS d
    JOIN store.splits AS s USING (split, version)
    JOIN store.rows AS r ON r.sample_id = d.sample_id AND r.dataset = s.dataset
    LEFT JOIN gathered AS f ON f.sample_id = d.sample_id,
    (SELECT list(check_name ORDER BY check_name) AS names FROM named)
    WHERE d.split = $split AND d.version = $version AND d.decision = 'drop'
    ORDER BY d.sample_id
) TO $file (FORMAT parquet, COMPRESSION zstd);

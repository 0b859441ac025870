COPY (
    SELECT d.sample_id, r.prompt, r.answer, list_transform(r.images, lambda image: image.path) AS images, d.reason, d.rank, d.value, f.flags
    FROM store.split_rows AS d
    JOIN store.splits AS s USING (split, version)
    JOIN store.rows AS r ON r.sample_id = d.sample_id AND r.dataset = s.dataset
    LEFT JOIN (
        SELECT dataset, sample_id, list(DISTINCT check_name ORDER BY check_name) AS flags FROM store.flags GROUP BY ALL
    ) AS f ON f.sample_id = d.sample_id AND f.dataset = s.dataset
    WHERE d.split = $split AND d.version = $version AND d.decision = 'drop'
    ORDER BY d.sample_id
) TO $file (FORMAT parquet, COMPRESSION zstd);

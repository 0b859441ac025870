-- What is held of a row, or of one that was forgotten before.
SELECT (SELECT list(DISTINCT dataset) FROM store.rows WHERE sample_id = $sample_id) AS datasets,
       (SELECT any_value(images) FROM store.rows WHERE sample_id = $sample_id) AS images,
       (FROM store.forgotten SELECT count(*) WHERE sample_id = $sample_id) > 0 AS forgotten;

-- The same for their vectors.
INSERT INTO store.packed BY NAME
SELECT v.* EXCLUDE (place, n) REPLACE (u.sample_id AS sample_id)
FROM unscored_rows AS u JOIN (
    SELECT v.*, row_number() OVER (ORDER BY sample_id) - 1 AS place, count(*) OVER () AS n
    FROM store.packed AS v SEMI JOIN (SELECT sample_id FROM store.scores WHERE run_id = $run_id) USING (sample_id)
    WHERE v.model_key = $model_key
) AS v ON u.position % v.n = v.place
ANTI JOIN store.packed AS known ON known.sample_id = u.sample_id AND known.model_key = $model_key;

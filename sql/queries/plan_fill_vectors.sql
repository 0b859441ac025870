-- Only in the temporary database of a plan: give rows without a vector the vectors of scored rows, in turn.
INSERT INTO store.packed BY NAME
SELECT v.* EXCLUDE (slot, n) REPLACE (u.sample_id AS sample_id)
FROM unscored_rows AS u JOIN (
    SELECT v.*, row_number() OVER (ORDER BY sample_id) - 1 AS slot, count(*) OVER () AS n
    FROM store.packed AS v SEMI JOIN (SELECT sample_id FROM store.scores WHERE run_id = $run_id) USING (sample_id)
    WHERE v.model_key = $model_key
) AS v ON u.position % v.n = v.slot
ANTI JOIN store.packed AS stored ON stored.sample_id = u.sample_id AND stored.model_key = $model_key;

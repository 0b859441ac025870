-- Only in the temporary database of a plan: give rows without a score the numbers of scored rows, in turn.
INSERT INTO store.scores BY NAME
SELECT s.* EXCLUDE (slot, n) REPLACE (u.sample_id AS sample_id)
FROM unscored_rows AS u JOIN (
    SELECT *, row_number() OVER (ORDER BY sample_id) - 1 AS slot, count(*) OVER () AS n
    FROM store.scores WHERE run_id = $run_id
) AS s ON u.position % s.n = s.slot;

-- In the database of a plan, never in a user's: rows that were not scored get the numbers of those that were, in turn.
INSERT INTO store.scores BY NAME
SELECT s.* EXCLUDE (place, n) REPLACE (u.sample_id AS sample_id)
FROM unscored_rows AS u JOIN (
    SELECT *, row_number() OVER (ORDER BY sample_id) - 1 AS place, count(*) OVER () AS n
    FROM store.scores WHERE run_id = $run_id
) AS s ON u.position % s.n = s.place;

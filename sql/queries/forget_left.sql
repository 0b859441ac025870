-- Delete results of canaries that no longer exist, because their tokens are text of rows. Results are selected by what still
-- exists and not by the canaries' ids: a canary can have the content of a row, whose results must stay.
DELETE FROM store.TABLE
WHERE sample_id NOT IN (SELECT sample_id FROM store.rows UNION SELECT sample_id FROM store.canaries);

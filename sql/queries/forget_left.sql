-- What was found of canaries that are no more, those of an earlier state of the reference too: their tokens are a row's text.
-- By what is left, not by the canaries' ids: a canary may have the content of a row, and then the row's numbers stay.
DELETE FROM store.TABLE
WHERE sample_id NOT IN (SELECT sample_id FROM store.rows UNION SELECT sample_id FROM store.canaries);

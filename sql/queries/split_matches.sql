-- The places of the rows that are matched. The table is empty for any other order.
CREATE OR REPLACE TEMP TABLE matches AS
SELECT sample_id, place, matched_to, round, similarity, is_suspicious FROM new_matches;

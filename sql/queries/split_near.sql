-- Rows that a better one nearly repeats; none before anybody has looked.
CREATE OR REPLACE TEMP TABLE near_repeats AS SELECT sample_id, better, cosine FROM new_near_repeats;

-- Rows that nearly repeat a better row. The table is empty in the first pass.
CREATE OR REPLACE TEMP TABLE near_repeats AS SELECT sample_id, better, cosine FROM new_near_repeats;

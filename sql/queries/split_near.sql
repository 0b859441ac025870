-- Rows that a better one nearly repeats; none, before anybody has looked.
CREATE OR REPLACE TEMP TABLE near AS SELECT sample_id, better, cosine FROM found;

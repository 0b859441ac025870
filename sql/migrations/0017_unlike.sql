-- Rows that ask what no trusted row asks: trusted rows say nothing about them, so they are not judged.
ALTER TABLE store.suspicions ADD COLUMN is_unlike BOOLEAN;
ALTER TABLE store.suspicions ADD COLUMN nearest VARCHAR;         -- the trusted row with the most similar prompt
ALTER TABLE store.suspicions ADD COLUMN nearest_cosine DOUBLE;   -- of the states before the answer
ALTER TABLE store.suspicions ADD COLUMN local_fdr DOUBLE;        -- estimated probability that the row is right; null if it is unlike
ALTER TABLE store.calibration ADD COLUMN measured_high DOUBLE;   -- in nine of ten trials the share was at most this
ALTER TABLE store.calibration ADD COLUMN rows_flagged BIGINT;    -- rows of the dataset that are flagged at this rate
ALTER TABLE store.calibration ADD COLUMN is_explained BOOLEAN;   -- whether the trials explain so many flags

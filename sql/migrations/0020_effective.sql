-- Null until the next run judges the rows.
ALTER TABLE store.calibration ADD COLUMN trusted_rows BIGINT;  -- as many in the dataset's proportions would tell as much

-- A verdict can make a row trusted: the row, or its copy with another answer, is then one of the trusted rows.
ALTER TABLE store.verdicts ADD COLUMN page VARCHAR DEFAULT 'review';   -- review or trust: where the verdict was given
ALTER TABLE store.verdicts ADD COLUMN trusted_as VARCHAR;              -- sample_id of the trusted row; null if the verdict makes none

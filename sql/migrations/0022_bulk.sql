-- Verdicts that a person gave together on all rows of a filter have one id, so that they can be taken back together.
ALTER TABLE store.verdicts ADD COLUMN bulk VARCHAR;

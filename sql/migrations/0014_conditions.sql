-- Under what numbers were found, as JSON: the same evaluation under other conditions is another series, not more seeds.
ALTER TABLE store.evaluations ADD COLUMN conditions VARCHAR DEFAULT '{}';
ALTER TABLE store.comparisons ADD COLUMN conditions VARCHAR DEFAULT '{}';

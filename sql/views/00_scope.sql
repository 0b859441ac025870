-- Scores of a scope: a model, and a reference with the content that has this hash.
CREATE OR REPLACE MACRO store.fresh_scores(of_model, against, with_hash) AS TABLE
SELECT * FROM store.scores WHERE model_key = of_model AND reference = against AND reference_hash = with_hash;

-- Suspicions in a scope of the rows of a dataset ('dataset'), trusted rows ('reference') or canaries ('canary').
CREATE OR REPLACE MACRO store.fresh_suspicions(of_dataset, of_model, against, with_hash, of_role) AS TABLE
SELECT * FROM store.suspicions
WHERE dataset = of_dataset AND role = of_role AND model_key = of_model AND reference = against AND reference_hash = with_hash;

-- The rows that a version of a split keeps: their original records, or the records with the answer of a verdict.
CREATE OR REPLACE MACRO store.kept_rows(of_split, of_version) AS TABLE
SELECT d.sample_id, coalesce(d.record, r.record) AS record, r.images
FROM store.split_rows AS d
JOIN store.splits AS s USING (split, version)
JOIN store.rows AS r ON r.sample_id = d.sample_id AND r.dataset = s.dataset
WHERE d.split = of_split AND d.version = of_version AND d.decision = 'keep';

-- A row, the rows that people trust instead of it with another answer, and the row that it is trusted instead of.
CREATE OR REPLACE MACRO store.copies(id) AS TABLE
SELECT id AS sample_id
UNION
SELECT unnest([sample_id, trusted_as]) FROM store.verdicts WHERE trusted_as IS NOT NULL AND (sample_id = id OR trusted_as = id);

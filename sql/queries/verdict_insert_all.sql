-- One verdict on the rows to decide whose present verdict is the one to replace. A trusted row that is kept stays trusted.
INSERT INTO store.verdicts BY NAME
SELECT r.sample_id, r.dataset, $verdict AS verdict, $why AS why, $who AS who, now() AS decided_at, 'review' AS page,
       CASE WHEN $verdict = 'keep' AND v.trusted_as IS NOT NULL THEN r.sample_id END AS trusted_as, $bulk AS bulk
FROM store.rows AS r
SEMI JOIN rows_to_decide USING (sample_id)
LEFT JOIN verdicts AS v ON v.sample_id = r.sample_id AND v.dataset = r.dataset
WHERE r.dataset = $dataset AND r.retired_at IS NULL
  AND coalesce(v.verdict, 'undecided') = $replaces AND v.verdict IS DISTINCT FROM $verdict;

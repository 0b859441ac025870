-- warning: a row that is also a trusted row would be valued against itself
-- needs: trusted rows
-- Rows that a person made trusted on the trust page are marked as such, and valued against the other trusted rows.
SELECT r.sample_id, r.dataset,
       format('The same content is a trusted row of {}: {}, line {}.',
              getvariable('reference'), t.source_file, t.source_line) AS reason
FROM rows AS r JOIN rows AS t ON t.sample_id = r.sample_id AND t.dataset = getvariable('reference')
ANTI JOIN (SELECT dataset, sample_id FROM verdicts WHERE trusted_as IS NOT NULL) AS v ON v.sample_id = r.sample_id AND v.dataset = r.dataset
WHERE r.dataset = getvariable('dataset')

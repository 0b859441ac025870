-- warning: a row that is also a trusted row would be valued against itself
SELECT r.sample_id, r.dataset,
       format('The same content is a trusted row of {}: {}, line {}.',
              getvariable('reference'), t.source_file, t.source_line) AS reason
FROM rows AS r JOIN rows AS t ON t.sample_id = r.sample_id AND t.dataset = getvariable('reference')
WHERE r.dataset = getvariable('dataset')

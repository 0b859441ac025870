-- critical: a row without an answer teaches nothing; ingest should have rejected it
SELECT sample_id, dataset,
       format('The answer is empty: {} characters, all of them white space ({}, line {}).',
              length(answer), source_file, source_line) AS reason
FROM rows
WHERE dataset = getvariable('dataset')
  AND regexp_full_match(answer, '[\s\x0b\x1c-\x1f\x{85}\p{Z}]*')

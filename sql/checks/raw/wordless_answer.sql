-- info: an answer without a letter or a digit is often a placeholder, although a sign can be a right answer
SELECT sample_id, dataset,
       format('The answer has {} characters and none of them is a letter or a digit: "{}".',
              length(answer), left(answer, 40)) AS reason
FROM rows
WHERE dataset = getvariable('dataset')
  AND NOT regexp_matches(answer, '[\p{L}\p{N}]')

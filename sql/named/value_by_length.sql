-- Value and likelihood by the length of the answer in tokens, in bins of powers of two.
SELECT dataset, reference, model, pow(2, floor(log2(answer_tokens)))::BIGINT AS from_tokens, count(*) AS rows, avg(value) AS value,
       median(value) AS median_value, avg(value_per_token) AS value_per_token, avg(nll) AS nll
FROM scores GROUP BY ALL ORDER BY dataset, reference, model, from_tokens

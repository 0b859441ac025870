-- Rows of a dataset with two of their metadata columns, in the order of their sample_ids: a random order, as these are hashes.
SELECT sample_id, any_value(kind) AS kind, any_value(prompt) AS prompt, any_value(answer) AS answer,
       any_value(messages) AS messages, any_value(tools) AS tools, any_value(images) AS images, false AS is_blank,
       any_value(metadata::JSON->>$first) AS first, any_value(metadata::JSON->>$second) AS second
FROM store.rows WHERE dataset = $dataset AND retired_at IS NULL
GROUP BY sample_id ORDER BY sample_id;

-- Trusted rows, each content once, in the order of their sample_ids.
SELECT sample_id, any_value(kind) AS kind, any_value(prompt) AS prompt, any_value(answer) AS answer,
       any_value(messages) AS messages, any_value(tools) AS tools, any_value(images) AS images
FROM store.rows WHERE dataset = $reference AND retired_at IS NULL
GROUP BY sample_id ORDER BY sample_id;

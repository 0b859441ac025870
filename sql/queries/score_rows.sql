SELECT sample_id, any_value(messages) AS messages, any_value(tools) AS tools, any_value(images) AS images
FROM store.rows SEMI JOIN wanted USING (sample_id)
GROUP BY sample_id ORDER BY sample_id;

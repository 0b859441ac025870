SELECT sample_id, any_value(messages) AS messages, any_value(tools) AS tools, any_value(images) AS images,
       bool_or(is_blank) AS is_blank
FROM (
    SELECT sample_id, messages, tools, images, false AS is_blank FROM store.rows
    UNION ALL
    SELECT sample_id, messages, tools, images, is_blank FROM store.canaries
)
SEMI JOIN rows_to_read USING (sample_id)
GROUP BY sample_id ORDER BY sample_id;

-- What was decided, and a hash that changes when any decision, any rank or any kept record does: the same content may come
-- in with other columns around it, and is published with them. Hashed in 256 parts, so that no text grows with the rows.
SELECT coalesce(sum(kept), 0)::BIGINT, coalesce(sum(dropped), 0)::BIGINT, coalesce(sum(tokens), 0)::BIGINT,
       coalesce(sha256(string_agg(decisions, '' ORDER BY part)), '')
FROM (
    SELECT left(sample_id, 2) AS part, count(*) FILTER (kept) AS kept, count(*) FILTER (NOT kept) AS dropped,
           sum(answer_tokens) FILTER (kept) AS tokens,
           sha256(string_agg(sample_id || CASE WHEN kept THEN content ELSE 'drop' END || coalesce(rank::VARCHAR, '-'), ','
                             ORDER BY sample_id)) AS decisions
    FROM decided GROUP BY ALL
);

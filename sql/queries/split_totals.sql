-- Totals of the decisions, and a hash that changes with any decision, rank or kept record. The record counts because the same
-- content may come with other columns, which are published. It is hashed in 256 parts, so that no text grows with the rows.
SELECT coalesce(sum(kept), 0)::BIGINT, coalesce(sum(dropped), 0)::BIGINT, coalesce(sum(tokens), 0)::BIGINT,
       coalesce(sha256(string_agg(decisions, '' ORDER BY part)), '')
FROM (
    SELECT left(sample_id, 2) AS part, count(*) FILTER (kept) AS kept, count(*) FILTER (NOT kept) AS dropped,
           sum(answer_tokens) FILTER (kept) AS tokens,
           sha256(string_agg(sample_id || CASE WHEN kept THEN content ELSE 'drop' END || coalesce(rank::VARCHAR, '-'), ','
                             ORDER BY sample_id)) AS decisions
    FROM decided GROUP BY ALL
);

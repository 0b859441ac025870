-- What was decided, and a hash that changes when any decision or rank does.
SELECT count(*) FILTER (kept), count(*) FILTER (NOT kept), coalesce(sum(answer_tokens) FILTER (kept), 0)::BIGINT,
       coalesce(sha256(string_agg(sample_id || kept || coalesce(rank::VARCHAR, '-'), ',' ORDER BY sample_id)), '')
FROM decided;

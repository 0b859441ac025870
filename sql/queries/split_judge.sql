-- For every current row of the dataset: may it be kept, and if not, why? A person's verdict overrides flags and merit.
CREATE OR REPLACE TEMP TABLE judged AS
WITH current_rows AS (
    SELECT r.sample_id, md5(coalesce(v.record::VARCHAR, r.record)) AS content, v.record, v.verdict, v.who, v.why, v.trusted_as,
           CASE WHEN $per IS NOT NULL THEN metadata::JSON->>$pointer END AS part
    FROM store.rows AS r LEFT JOIN verdicts AS v ON v.dataset = r.dataset AND v.sample_id = r.sample_id
    WHERE r.dataset = $dataset AND retired_at IS NULL
),
scored AS (
    SELECT sample_id, value, answer_tokens,
           CASE WHEN $by = 'value' THEN value / pow(answer_tokens, $length_penalty) WHEN $by = 'value_per_token' THEN value_per_token
                WHEN $by = 'value_cosine' THEN value_cosine
                WHEN $by = $without_trusted THEN coalesce(least(conditional_gain, quantile_cont(conditional_gain, 0.1) OVER ()), 0)
                ELSE 0 END AS merit
    FROM store.fresh_scores($model_key, $reference, $reference_hash)
),
refused_by_model AS (
    SELECT sample_id, any_value(reason) AS reason FROM store.unscorable WHERE model_key = $model_key GROUP BY sample_id
),
flagged AS (
    SELECT sample_id, min_by(check_name || ': ' || reason, (severity != 'critical', check_name)) AS first_flag, count(*) AS flags
    FROM store.flags
    WHERE dataset = $dataset AND severity IN ('critical', 'warning')
    GROUP BY sample_id
),
suspected AS (
    SELECT sample_id, looks_like, row_number() OVER (ORDER BY suspicion DESC, sample_id) AS place, count(*) OVER () AS judged,
           floor($suspicious_share * judged + 1e-9) AS left_out
    FROM store.fresh_suspicions($dataset, $model_key, $reference, $reference_hash, 'dataset') JOIN current_rows USING (sample_id)
    WHERE $suspicious_share > 0 AND coalesce(unlike_because, 'asks') = 'asks'
    QUALIFY place <= left_out
)
SELECT c.sample_id, c.content, c.record, c.part, c.verdict IS NOT NULL AS by_hand, s.value, s.answer_tokens, s.merit, md5(c.sample_id || $seed) AS draw,
       CASE WHEN c.verdict = 'keep' THEN if(c.trusted_as IS NULL, 'kept by ', 'trusted by ') || c.who
            ELSE if(c.trusted_as IS NULL, 'kept with another answer by ', 'corrected and trusted by ') || c.who END
       || CASE WHEN c.why != '' THEN ' (' || c.why || ')' ELSE '' END AS verdict_text,
       CASE WHEN c.verdict = 'drop' THEN 'verdict'
            WHEN s.merit IS NULL OR NOT isfinite(s.merit) OR NOT isfinite(coalesce(s.value, 0)) THEN 'unscored'
            WHEN $drops_flagged AND f.sample_id IS NOT NULL AND c.verdict IS NULL THEN 'flag'
            WHEN p.sample_id IS NOT NULL AND c.verdict IS NULL THEN 'suspicion'
            WHEN t.sample_id IS NOT NULL AND c.verdict IS NULL THEN 'near duplicate'
       END AS refused_for,
       CASE refused_for
            WHEN 'verdict' THEN 'dropped by hand: ' || c.who || CASE WHEN c.why != '' THEN ', ' || c.why ELSE '' END
            WHEN 'unscored' THEN 'not scored: ' || CASE WHEN s.sample_id IS NULL THEN coalesce(u.reason, 'no score yet')
                                                        ELSE 'its value is not a number' END
            WHEN 'flag' THEN 'flagged by ' || f.first_flag || CASE WHEN f.flags > 1 THEN ' (and ' || (f.flags - 1) || ' more)' ELSE '' END
            WHEN 'suspicion' THEN format('suspicious: place {} of {}, most like {}; splitting.drop leaves out the first {:.0f}, without an error rate',
                                         p.place, p.judged, p.looks_like, p.left_out)
            WHEN 'near duplicate' THEN format('nearly the same as {}: cosine {:.3f}', t.better, t.cosine)
       END AS refusal
FROM current_rows AS c
LEFT JOIN scored AS s USING (sample_id)
LEFT JOIN refused_by_model AS u USING (sample_id)
LEFT JOIN flagged AS f USING (sample_id)
LEFT JOIN suspected AS p USING (sample_id)
LEFT JOIN near_repeats AS t USING (sample_id);

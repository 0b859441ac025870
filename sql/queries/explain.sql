-- Everything that the database holds of a row, as one record of lists; a list is null where there is nothing.
SELECT
    (SELECT {'who': who, 'reason': reason, 'forgotten_at': forgotten_at} FROM forgotten WHERE sample_id = $sample_id) AS forgotten,
    (SELECT list(r ORDER BY r.dataset) FROM (
        SELECT s.dataset, d.role, s.kind, s.prompt, s.answer, s.images, s.retired_at,
               (SELECT list({'file': source_file, 'line': source_line} ORDER BY source_file, source_line)
                FROM row_sources AS p WHERE p.dataset = s.dataset AND p.sample_id = s.sample_id) AS sources
        FROM store.rows AS s LEFT JOIN store.datasets AS d USING (dataset) WHERE s.sample_id = $sample_id) AS r) AS rows,
    (SELECT list(c) FROM (
        SELECT DISTINCT canary, twin, reference, prompt, answer FROM store.canaries WHERE sample_id = $sample_id) AS c) AS canaries,
    (SELECT list(u) FROM (
        SELECT m.model, u.reason FROM store.unscorable AS u JOIN store.models AS m USING (model_key) WHERE sample_id = $sample_id) AS u) AS unscorable,
    (SELECT list(s ORDER BY s.dataset, s.reference, s.model) FROM (FROM scores WHERE sample_id = $sample_id) AS s) AS scores,
    (SELECT list(s) FROM (SELECT dataset, reference, model, why FROM stale_scores WHERE sample_id = $sample_id) AS s) AS stale_scores,
    (SELECT list(t ORDER BY t.model, t.reference, t.value, t.position) FROM (
        FROM token_scores WHERE sample_id = $sample_id
        QUALIFY row_number() OVER (PARTITION BY model, reference ORDER BY value, position) <= 3
             OR row_number() OVER (PARTITION BY model, reference ORDER BY value DESC, position) <= 3) AS t) AS tokens,
    (SELECT list(s ORDER BY s.dataset, s.reference, s.model) FROM (FROM suspicions WHERE sample_id = $sample_id) AS s) AS suspicions,
    (SELECT list(f ORDER BY f.severity = 'info', f.check_name) FROM (FROM flags WHERE sample_id = $sample_id) AS f) AS flags,
    (SELECT list(i ORDER BY i.model, i.reference, i.value DESC) FROM influences($sample_id, 3) AS i) AS influences,
    (SELECT list(n ORDER BY n.model, n.dataset, n.cosine DESC) FROM nearest_accepted($sample_id, 3) AS n) AS nearest,
    (SELECT list(v ORDER BY v.decided_at) FROM (FROM verdict_history WHERE sample_id = $sample_id) AS v) AS verdicts,
    (SELECT list(d ORDER BY d.split, d.version DESC) FROM (
        SELECT r.*, s.created_at, s.folder, max(s.version) OVER (PARTITION BY r.split) AS newest
        FROM (SELECT split, max(version) AS last FROM splits GROUP BY split) JOIN splits AS s USING (split)
        JOIN split_rows AS r USING (split, version) WHERE r.sample_id = $sample_id) AS d) AS splits;

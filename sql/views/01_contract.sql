-- The public contract: every name here is stable from release to release. The views are created again at each start.
CREATE OR REPLACE VIEW datasets AS
SELECT dataset, role, source, layout, kind, rows, rejected, duplicates, content_hash, ingested_at
FROM store.datasets;

CREATE OR REPLACE VIEW rows AS
SELECT sample_id, dataset, kind, prompt, answer, messages::JSON AS messages, tools::JSON AS tools, images,
       metadata::JSON AS metadata, source_file, source_line
FROM store.rows
WHERE retired_at IS NULL;

-- The files of the rows' pictures. For a picture that cannot be used, `reason` says why.
CREATE OR REPLACE VIEW images AS
SELECT dataset, path, reason, sha256, width, height, mode, format, size, spread, thumbnail
FROM store.pictures;

CREATE OR REPLACE VIEW row_sources AS
SELECT dataset, sample_id, source_file, source_line FROM rows
UNION ALL
SELECT dataset, sample_id, source_file, source_line FROM store.duplicates;

-- Rejected lines, and rows that some model could not score.
CREATE OR REPLACE VIEW rejects AS
SELECT dataset, source_file, source_line, reason, raw FROM store.rejects
UNION ALL
SELECT DISTINCT r.dataset, r.source_file, r.source_line, u.reason, left(r.record, 1000) AS raw
FROM store.unscorable AS u JOIN store.rows AS r ON r.sample_id = u.sample_id AND r.retired_at IS NULL;

-- Rows that were permanently deleted. Only their sample_id is left, which is a hash.
CREATE OR REPLACE VIEW forgotten AS
SELECT sample_id, reason, who, forgotten_at FROM store.forgotten;

-- Current scores: against the present content of each reference.
CREATE OR REPLACE VIEW scores AS
SELECT s.sample_id, r.dataset, s.reference, m.model, s.value, s.value_per_token, s.value_cosine, s.self_value, s.nll,
       s.worst_token, s.conditional_gain, s.image_gain, s.local_value, p.label_probe, s.answer_tokens, s.prompt_tokens, s.truncated,
       s.scored_at, s.run_id
FROM store.scores AS s
JOIN store.datasets AS d ON d.dataset = s.reference AND d.content_hash = s.reference_hash
JOIN store.models AS m ON m.model_key = s.model_key
JOIN store.rows AS r ON r.sample_id = s.sample_id AND r.retired_at IS NULL
LEFT JOIN store.suspicions AS p ON p.sample_id = s.sample_id AND p.dataset = r.dataset AND p.role = 'dataset'
    AND p.model_key = s.model_key AND p.reference = s.reference AND p.reference_hash = s.reference_hash;

CREATE OR REPLACE VIEW token_scores AS
SELECT s.sample_id, m.model, s.reference, p.position, s.tokens[p.position] AS token,
       s.token_values[p.position] AS value, s.token_logprobs[p.position] AS logprob, s.likeliest[p.position] AS likeliest
FROM store.scores AS s
JOIN store.datasets AS d ON d.dataset = s.reference AND d.content_hash = s.reference_hash
JOIN store.models AS m ON m.model_key = s.model_key,
     unnest(range(1, len(s.tokens) + 1)) AS p(position);

-- The form in which each run used a reference, and the quality of the index.
CREATE OR REPLACE VIEW fits AS
SELECT f.run_id, m.model, f.reference, f.reference_rows, f.rank, f.tokens, f.residual, f.deviation, f.index_correlation,
       f.index_pairs, f.dtype, f.device, f.fitted_at
FROM store.fits AS f JOIN store.models AS m ON m.model_key = f.model_key;

-- The index. Products of vectors approximate pairwise values (`fits` says how well); states serve neighbours and probes.
CREATE OR REPLACE VIEW vectors AS
SELECT v.sample_id, r.dataset, m.model, v.vector, v.state, v.text_state
FROM store.vectors AS v
JOIN store.models AS m ON m.model_key = v.model_key
JOIN store.rows AS r ON r.sample_id = v.sample_id AND r.retired_at IS NULL;

-- Everything that a score depends on other than the row and the reference. For each model name, the settings of the last run
-- are current. For the settings of earlier runs, `why` says what has changed since; it is null for current settings.
CREATE OR REPLACE VIEW models AS
WITH registered AS (SELECT *, regexp_extract(model, '^(.*)@', 1) AS name FROM store.models),
newest AS (FROM registered QUALIFY row_number() OVER (PARTITION BY name ORDER BY last_used_at DESC, model_key) = 1)
SELECT m.model_key, m.model, m.weights, m.adapter, m.template, m.masking, m.max_tokens, m.scoring_version, m.settings, m.last_used_at,
       n.model AS now, CASE WHEN m.model_key != n.model_key THEN concat_ws('; ',
           CASE WHEN m.weights != n.weights THEN 'the weights have changed' END,
           CASE WHEN m.adapter IS DISTINCT FROM n.adapter THEN 'the adapter has changed' END,
           CASE WHEN m.template != n.template THEN 'the prompt template has changed' END,
           CASE WHEN m.masking != n.masking THEN 'the masking has changed' END,
           CASE WHEN m.max_tokens != n.max_tokens THEN format('max_tokens was {} and is {}', m.max_tokens, n.max_tokens) END,
           CASE WHEN m.scoring_version != n.scoring_version THEN 'the scoring version has changed' END,
           CASE WHEN m.settings::VARCHAR != n.settings::VARCHAR THEN format('settings were {} and are {}', m.settings, n.settings) END
       ) END AS why
FROM registered AS m JOIN newest AS n USING (name);

-- Stale scores: those that no longer count, and why.
CREATE OR REPLACE VIEW stale_scores AS
FROM (
    SELECT s.sample_id, r.dataset, s.reference, m.model, concat_ws('; ',
               CASE WHEN r.retired_at IS NOT NULL THEN 'the row has changed or is gone' END,
               CASE WHEN d.dataset IS NULL THEN 'the reference is gone'
                    WHEN d.content_hash != s.reference_hash THEN 'the reference has changed' END,
               m.why) AS why
    FROM store.scores AS s
    JOIN store.rows AS r ON r.sample_id = s.sample_id
    JOIN models AS m ON m.model_key = s.model_key
    LEFT JOIN store.datasets AS d ON d.dataset = s.reference
)
WHERE why != '';

-- Stale versions of splits: their dataset, reference or model has changed since. Published versions have a folder.
CREATE OR REPLACE VIEW stale_versions AS
FROM (
    SELECT s.split, s.version, s.folder, concat_ws('; ',
               CASE WHEN d.content_hash IS DISTINCT FROM s.dataset_hash THEN 'the dataset has changed' END,
               CASE WHEN t.content_hash IS DISTINCT FROM s.reference_hash THEN 'the reference has changed' END,
               m.why) AS why
    FROM store.splits AS s
    JOIN models AS m ON m.model_key = s.model_key
    LEFT JOIN store.datasets AS d ON d.dataset = s.dataset
    LEFT JOIN store.datasets AS t ON t.dataset = s.reference
)
WHERE why != '';

CREATE OR REPLACE VIEW checks AS
SELECT run_id, dataset, stage, check_name, severity, success, rows_failed, rows_tested, why, seconds
FROM store.checks;

CREATE OR REPLACE VIEW flags AS
SELECT sample_id, dataset, check_name, severity, reason, p_value, q_value, signals, run_id
FROM store.flags;

-- How suspicious each row is, flagged or not: a natural logarithm of odds, up to a constant.
CREATE OR REPLACE VIEW suspicions AS
SELECT p.sample_id, p.dataset, p.reference, m.model, p.suspicion, p.p_value, p.q_value, p.looks_like, p.signals, p.label_probe,
       p.agreement, p.local_fdr, p.is_unlike, p.unlike_because, p.nearest, p.nearest_cosine, p.run_id
FROM store.suspicions AS p
JOIN store.datasets AS d ON d.dataset = p.reference AND d.content_hash = p.reference_hash
JOIN store.models AS m ON m.model_key = p.model_key
WHERE p.role = 'dataset';

-- Canaries: copies of trusted rows with a known defect. Their suspicions come from models that saw neither copy nor twin.
CREATE OR REPLACE VIEW canaries AS
SELECT c.sample_id, c.reference, c.canary, c.twin, c.prompt, c.answer, c.images, c.is_blank, p.dataset, m.model, p.suspicion,
       t.suspicion AS twin_suspicion
FROM store.canaries AS c
LEFT JOIN store.suspicions AS p ON p.sample_id = c.sample_id AND p.looks_like = c.canary AND p.role = 'canary'
LEFT JOIN store.suspicions AS t ON t.sample_id = c.twin AND t.role = 'reference' AND t.dataset = p.dataset AND t.model_key = p.model_key
LEFT JOIN store.models AS m ON m.model_key = p.model_key;

-- How well each kind of planted defect is told from trusted rows. detectable: the 95% bootstrap interval is above chance.
CREATE OR REPLACE VIEW detectability AS
SELECT t.dataset, m.model, t.canary, t.auc, t.auc_low, t.auc_high, t.canaries, t.auc_low > 0.5 AS detectable, t.reference,
       t.best_signal, t.best_signal_auc
FROM store.detectability AS t JOIN store.models AS m ON m.model_key = t.model_key;

-- Stated against measured false-discovery rate, on held-out trusted rows and canaries.
CREATE OR REPLACE VIEW calibration AS
SELECT c.dataset, m.model, c.reference, c.stated, c.measured, c.measured_high, c.standard_error, c.recall, c.clean_flagged,
       c.rows_flagged, c.is_explained, c.trusted_rows
FROM store.calibration AS c JOIN store.models AS m ON m.model_key = c.model_key;

-- Every verdict of people on rows. The view verdicts holds the current ones. trusted_as: the trusted row that the verdict makes.
-- bulk: an id that verdicts on all rows of a filter share. The newest is the one inserted last: clocks are set back.
CREATE OR REPLACE VIEW verdict_history AS
SELECT sample_id, dataset, verdict, answer, why, who, decided_at, page, trusted_as, bulk FROM store.verdicts;

CREATE OR REPLACE VIEW verdicts AS
FROM (
    FROM store.verdicts
    QUALIFY row_number() OVER (PARTITION BY dataset, sample_id ORDER BY rowid DESC) = 1
)
SELECT sample_id, dataset, verdict, answer, record::JSON AS record, why, who, decided_at, page, trusted_as, bulk
WHERE verdict != 'undo';

-- Share of the reviewed flags of each check that people confirmed, with Wilson's 95% interval.
CREATE OR REPLACE VIEW flag_precision AS
SELECT dataset, check_name, flagged, reviewed, confirmed, confirmed / reviewed AS precision,
       (confirmed + 1.92) / (reviewed + 3.84) - 1.96 * sqrt(confirmed * (reviewed - confirmed) / reviewed + 0.96) / (reviewed + 3.84) AS low,
       (confirmed + 1.92) / (reviewed + 3.84) + 1.96 * sqrt(confirmed * (reviewed - confirmed) / reviewed + 0.96) / (reviewed + 3.84) AS high
FROM (
    SELECT f.dataset, f.check_name, count(*) AS flagged, count(v.verdict) AS reviewed,
           count(*) FILTER (v.verdict IN ('drop', 'relabel'))::DOUBLE AS confirmed
    FROM store.flags AS f LEFT JOIN verdicts AS v ON v.dataset = f.dataset AND v.sample_id = f.sample_id
    WHERE f.severity IN ('warning', 'critical')
    GROUP BY ALL
)
WHERE reviewed > 0;

CREATE OR REPLACE VIEW splits AS
SELECT split, version, rows_kept, rows_dropped, tokens_kept, manifest_sha256, folder, created_at, run_id, rows_flagged
FROM store.splits;

-- Change of each version against the version before it, in shares of all rows.
CREATE OR REPLACE VIEW split_drift AS
SELECT split, version, lag(version) OVER versions AS previous, flagged, flagged - lag(flagged) OVER versions AS flagged_moved,
       kept, kept - lag(kept) OVER versions AS kept_moved, all_rows, all_rows - lag(all_rows) OVER versions AS rows_moved, created_at
FROM (
    SELECT split, version, created_at, rows_kept + rows_dropped AS all_rows, rows_flagged / all_rows AS flagged,
           rows_kept / all_rows AS kept
    FROM store.splits
)
WINDOW versions AS (PARTITION BY split ORDER BY version);

-- The decision of a person about publishing a version. Without an answer until the deadline, it is 'timed out'.
CREATE OR REPLACE VIEW approvals AS
SELECT split, version, CASE WHEN decision = 'asked' AND now() > deadline THEN 'timed out' ELSE decision END AS decision,
       who, note, decided_at, CASE WHEN decision = 'asked' THEN deadline END AS deadline
FROM store.approvals
QUALIFY row_number() OVER (PARTITION BY split, version ORDER BY rowid DESC) = 1;

CREATE OR REPLACE VIEW split_rows AS
SELECT split, version, sample_id, decision, cause, reason, rank, value, matched_to, round, similarity
FROM store.split_rows;

-- What each version of a split has for each trusted row. is_starved: no row of the dataset is nearer than random pairs are.
CREATE OR REPLACE VIEW coverage AS
SELECT c.split, c.version, c.sample_id, coalesce(k.rows_kept, 0) AS rows_kept, c.nearest, c.similarity, c.similarity < c.floor AS is_starved,
       c.twin, c.twin_similarity, c.floor, r.prompt, r.answer
FROM store.coverage AS c
JOIN store.splits AS s USING (split, version)
LEFT JOIN (
    SELECT split, version, matched_to, count(*) AS rows_kept FROM store.split_rows WHERE round IS NOT NULL GROUP BY ALL
) AS k ON k.split = c.split AND k.version = c.version AND k.matched_to = c.sample_id
LEFT JOIN store.rows AS r ON r.sample_id = c.sample_id AND r.dataset = s.reference;

CREATE OR REPLACE VIEW runs AS
SELECT run_id, flow, state, config::JSON AS config, version, prefect_flow_run_id, started_at, finished_at,
       rows_scored, tokens_scored, notes::JSON AS notes
FROM store.runs;

-- From raw files to a published folder: file -> dataset, reference -> scores -> flags -> split -> folder. A name includes the
-- beginning of a content hash, so that a changed dataset has another name. A split without trusted rows has no reference.
CREATE OR REPLACE VIEW lineage AS
SELECT d.role AS child_kind, d.dataset || '@' || left(d.content_hash, 8) AS child,
       'file' AS parent_kind, f.file->>'path' || '@' || left(f.file->>'sha256', 8) AS parent, d.run_id
FROM store.datasets AS d, unnest(d.files::JSON[]) AS f(file)
UNION ALL
SELECT DISTINCT e.child_kind, e.child, e.parent_kind, e.parent, s.run_id
FROM (
    SELECT s.*, m.model, s.dataset || '@' || left(s.dataset_hash, 8) AS raw,
           s.reference || '@' || left(s.reference_hash, 8) AS trusted,
           s.reference_hash <> sha256('') AS has_trusted, raw || ' by ' || m.model || if(has_trusted, ' against ' || trusted, '') AS scored, s.split || '/v' || s.version AS decided
    FROM store.splits AS s JOIN store.models AS m ON m.model_key = s.model_key
) AS s,
unnest([
    {'child_kind': 'scores', 'child': scored, 'parent_kind': 'dataset', 'parent': raw},
    {'child_kind': 'scores', 'child': scored, 'parent_kind': 'reference', 'parent': trusted},
    {'child_kind': 'scores', 'child': scored, 'parent_kind': 'model', 'parent': s.model},
    {'child_kind': 'flags', 'child': scored, 'parent_kind': 'scores', 'parent': scored},
    {'child_kind': 'split', 'child': decided, 'parent_kind': 'flags', 'parent': scored},
    {'child_kind': 'folder', 'child': s.folder, 'parent_kind': 'split', 'parent': decided}
]) AS t(e)
WHERE e.child IS NOT NULL AND (s.has_trusted OR e.parent_kind != 'reference');

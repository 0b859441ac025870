-- A version with the configuration of the run that decided it.
SELECT s.* REPLACE (strftime(s.created_at AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%SZ') AS created_at), r.config::VARCHAR AS config,
       s.reference_hash <> sha256('') AS has_trusted
FROM store.splits AS s JOIN store.runs AS r USING (run_id)
WHERE s.split = $split AND s.version = $version;

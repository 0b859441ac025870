INSERT INTO store.runs (run_id, flow, state, config, version, prefect_flow_run_id, started_at)
VALUES ($run_id, $flow, 'running', $config, $version, $prefect_flow_run_id, now());

CREATE TABLE store.checks (
    run_id VARCHAR NOT NULL,
    dataset VARCHAR NOT NULL,
    stage VARCHAR NOT NULL,
    check_name VARCHAR NOT NULL,
    severity VARCHAR NOT NULL,           -- critical, warning, info
    success BOOLEAN NOT NULL,
    rows_failed BIGINT NOT NULL,
    rows_tested BIGINT NOT NULL,
    why VARCHAR NOT NULL,                -- why the check matters
    seconds DOUBLE NOT NULL
);

CREATE TABLE store.flags (
    sample_id VARCHAR NOT NULL,
    dataset VARCHAR NOT NULL,
    check_name VARCHAR NOT NULL,
    severity VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    p_value DOUBLE,
    q_value DOUBLE,
    run_id VARCHAR NOT NULL
);

CREATE TABLE store.detectability (
    dataset VARCHAR NOT NULL,
    model_key VARCHAR NOT NULL,
    canary VARCHAR NOT NULL,
    auc DOUBLE NOT NULL,
    auc_low DOUBLE NOT NULL,
    auc_high DOUBLE NOT NULL,
    canaries BIGINT NOT NULL,
    run_id VARCHAR NOT NULL
);

-- The bad rows of all checks, in memory. The SQL of a check runs once, because random() or LIMIT give other rows the next time.
CREATE TABLE memory.main.bad_rows (
    check_name VARCHAR, severity VARCHAR, sample_id VARCHAR, dataset VARCHAR, reason VARCHAR, p_value DOUBLE, q_value DOUBLE,
    signals VARCHAR[]
);

-- Flag the bad rows of the check whose SQL is in the variable `check_sql`. Its p_value, q_value and signals are optional.
INSERT INTO store.flags BY NAME
SELECT sample_id, dataset, $check_name AS check_name, $severity AS severity, reason, p_value, q_value, signals, $run_id AS run_id
FROM (
    FROM query(getvariable('check_sql'))
    UNION ALL BY NAME
    SELECT NULL::DOUBLE AS p_value, NULL::DOUBLE AS q_value, NULL::VARCHAR[] AS signals WHERE false
);

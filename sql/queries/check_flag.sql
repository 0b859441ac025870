-- Flag the bad rows of a check, from its SQL. Its p_value, q_value and signals are optional.
INSERT INTO store.flags BY NAME
SELECT sample_id, dataset, $check_name AS check_name, $severity AS severity, reason, p_value, q_value, signals, $run_id AS run_id
FROM (
    FROM query($check_sql)
    UNION ALL BY NAME
    SELECT NULL::DOUBLE AS p_value, NULL::DOUBLE AS q_value, NULL::VARCHAR[] AS signals WHERE false
);

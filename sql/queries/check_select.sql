-- Run the SQL of a check. Its p_value, q_value and signals are optional. A row that it returns twice is one bad row.
INSERT INTO memory.main.bad_rows BY NAME
SELECT $check_name AS check_name, $severity AS severity, sample_id, dataset, reason, p_value, q_value, signals
FROM (
    FROM query($check_sql)
    UNION ALL BY NAME
    SELECT NULL::DOUBLE AS p_value, NULL::DOUBLE AS q_value, NULL::VARCHAR[] AS signals WHERE false
)
QUALIFY row_number() OVER (PARTITION BY dataset, sample_id ORDER BY q_value NULLS LAST, reason) = 1;

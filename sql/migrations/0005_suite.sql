-- What Great Expectations was asked and what it answered, whole: enough to ask the same again elsewhere.
CREATE TABLE store.suites (
    run_id VARCHAR NOT NULL,
    dataset VARCHAR NOT NULL,
    stage VARCHAR NOT NULL,
    suite JSON NOT NULL,                 -- every check's query, severity and tolerance; `meta` holds its variables
    result JSON NOT NULL                 -- one validation result for each check, in the order of the suite
);

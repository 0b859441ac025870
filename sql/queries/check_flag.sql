-- Flag the bad rows of all checks.
INSERT INTO store.flags BY NAME
SELECT *, $run_id AS run_id FROM memory.main.bad_rows;

INSERT INTO store.suites BY NAME
SELECT $run_id AS run_id, $dataset AS dataset, $stage AS stage, $suite AS suite, $result AS result;

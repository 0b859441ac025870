INSERT INTO store.checks BY NAME
SELECT $run_id AS run_id, $dataset AS dataset, $stage AS stage, $check_name AS check_name, $severity AS severity,
       $success AS success, $rows_failed AS rows_failed, $rows_tested AS rows_tested, $why AS why, $seconds AS seconds;

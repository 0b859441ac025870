INSERT INTO store.coverage BY NAME SELECT $split AS split, $version AS version, * FROM new_coverage;

INSERT INTO store.pictures BY NAME SELECT $dataset AS dataset, * FROM read_parquet($pictures);

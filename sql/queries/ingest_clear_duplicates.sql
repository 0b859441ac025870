DELETE FROM store.duplicates WHERE dataset = $dataset;

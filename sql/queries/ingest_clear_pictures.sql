DELETE FROM store.pictures WHERE dataset = $dataset;

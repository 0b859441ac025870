DELETE FROM store.rejects WHERE dataset = $dataset;

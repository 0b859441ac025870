FROM store.copies($sample_id);

DELETE FROM store.TABLE WHERE list_contains($sample_ids, sample_id);

DELETE FROM store.TABLE WHERE sample_id = $sample_id;

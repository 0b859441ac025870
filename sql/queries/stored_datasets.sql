SELECT dataset, content_hash, kind FROM store.datasets;

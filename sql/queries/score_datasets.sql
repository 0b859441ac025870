SELECT dataset, content_hash FROM store.datasets;

SELECT dataset, role, source, layout, rows, rejected, duplicates, content_hash, files FROM store.datasets
WHERE dataset IN ($dataset, $reference) ORDER BY role;

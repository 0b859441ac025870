SELECT layout, rows, rejected, duplicates FROM store.datasets WHERE dataset = $dataset AND list_contains($source_hashes, source_hash);

SELECT layout, rows, rejected, duplicates FROM store.datasets WHERE dataset = $dataset AND source_hash = $source_hash;

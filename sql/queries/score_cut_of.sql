-- What a cut hangs on, beside the scope: equal means that a stored cut holds the rows as they are.
SELECT dataset, source_hash, ingested_at::VARCHAR FROM store.datasets WHERE dataset IN ($dataset, $reference) ORDER BY ALL;

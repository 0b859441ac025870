SELECT dataset, content_hash FROM datasets WHERE dataset IN ($dataset, $reference);

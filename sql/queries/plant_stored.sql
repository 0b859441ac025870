SELECT sample_id, canary FROM store.canaries WHERE reference = $reference AND reference_hash = $reference_hash;

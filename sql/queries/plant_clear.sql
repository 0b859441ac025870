DELETE FROM store.canaries WHERE reference = $reference;

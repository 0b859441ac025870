-- The canaries of a reference are made of its rows' texts: those that hold this one's cannot be told apart, and all are planted anew.
DELETE FROM store.canaries WHERE list_contains($datasets, reference);

-- The canaries of a reference are made of its rows' texts: those that hold this one's cannot be told apart, and all are planted anew.
SELECT sample_id FROM store.canaries WHERE reference IN (SELECT dataset FROM store.datasets WHERE role = 'reference' AND list_contains($datasets, dataset));

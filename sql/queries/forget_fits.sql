-- Delete fits of references that held the row: they hold its vector.
DELETE FROM store.fitted WHERE list_contains($datasets, reference);

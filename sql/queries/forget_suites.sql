DELETE FROM store.suites WHERE list_contains($datasets, dataset);

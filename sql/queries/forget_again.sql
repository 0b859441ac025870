-- The next run reads the files again, as if they had changed, and does not find the row. What was tested quotes rows.
UPDATE store.datasets SET source_hash = '' WHERE list_contains($datasets, dataset);

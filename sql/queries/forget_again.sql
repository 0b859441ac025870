-- Make the next run read the files again, as if they had changed. It then leaves the forgotten row out.
UPDATE store.datasets SET source_hash = '' WHERE list_contains($datasets, dataset);

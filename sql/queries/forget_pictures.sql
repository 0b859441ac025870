-- Delete the row's pictures, except those that another row names.
DELETE FROM store.pictures AS p
WHERE list_contains($datasets, dataset) AND list_contains($paths, path)
  AND NOT EXISTS (SELECT 1 FROM (SELECT dataset, unnest(images).path AS path FROM store.rows WHERE retired_at IS NULL) AS r
                  WHERE r.dataset = p.dataset AND r.path = p.path);

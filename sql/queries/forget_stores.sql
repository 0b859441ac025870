-- The stores of clusters that runs have used. What a killed run left there may hold text of rows.
SELECT DISTINCT config->>'$.cluster.store' AS store FROM store.runs WHERE config->>'$.cluster.store' IS NOT NULL ORDER BY ALL;

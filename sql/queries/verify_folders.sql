-- Every folder that a version was published to, with the digests of its manifests. $split: NULL for all splits.
SELECT split, version, folder, list(DISTINCT manifest_sha256 ORDER BY manifest_sha256) AS digests
FROM store.published WHERE $split IS NULL OR split = $split
GROUP BY ALL ORDER BY ALL;

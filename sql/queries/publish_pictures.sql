-- The pictures of the rows that stay, each once.
SELECT DISTINCT one.name, one.path, one.sha256
FROM (SELECT unnest(images) AS one FROM store.kept_rows($split, $version))
ORDER BY ALL;

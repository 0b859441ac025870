-- The pictures of the kept rows, each once.
SELECT DISTINCT image.name, image.path, image.sha256
FROM (SELECT unnest(images) AS image FROM store.kept_rows($split, $version))
ORDER BY ALL;

-- Number of different key sets of the objects at a JSON path. The added brackets let every path have a wildcard.
SELECT count(DISTINCT list_sort(json_keys(object)))
FROM (SELECT unnest(json_extract('[' || record || ']', $path)) AS object FROM store.kept_rows($split, $version))
WHERE json_type(object) = 'OBJECT';

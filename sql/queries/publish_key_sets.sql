-- How many different sets of keys the objects at this place have. The brackets make every path one with a wildcard.
SELECT count(DISTINCT list_sort(json_keys(object)))
FROM (SELECT unnest(json_extract('[' || record || ']', $path)) AS object FROM store.kept_rows($split, $version))
WHERE json_type(object) = 'OBJECT';

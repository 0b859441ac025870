SELECT path, any_value(thumbnail) AS thumbnail FROM store.pictures
WHERE dataset = $dataset AND path IN (SELECT unnest($paths)) GROUP BY path;

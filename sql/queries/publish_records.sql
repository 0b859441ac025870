-- The records that a version keeps, each with its bytes, the pictures that came inside it included.
SELECT record, strlen(record) + coalesce(list_sum(list_transform(images, lambda image: if(image.name IS NULL, image.size, 0))), 0) AS bytes
FROM store.kept_rows($split, $version) ORDER BY sample_id;

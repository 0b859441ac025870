-- info: a row is valued against what the trusted rows say, also of its own picture
SELECT r.sample_id, r.dataset,
       format('Its picture is also one of the trusted rows of {} ({}).', getvariable('reference'),
              any_value(r.path)) AS reason
FROM (
    SELECT sample_id, dataset, unnest(images).sha256 AS sha256, unnest(images).path AS path
    FROM rows WHERE dataset = getvariable('dataset')
) AS r
WHERE r.sha256 IN (
    SELECT unnest(images).sha256 FROM rows WHERE dataset = getvariable('reference')
)
GROUP BY r.sample_id, r.dataset

-- info: a row that shares a picture with a trusted row is valued against that row too
-- needs: trusted rows
SELECT r.sample_id, r.dataset,
       format('Its picture is also the picture of a trusted row of {} ({}).', getvariable('reference'),
              any_value(r.path)) AS reason
FROM (
    SELECT sample_id, dataset, unnest(images).sha256 AS sha256, unnest(images).path AS path
    FROM rows ANTI JOIN (SELECT dataset, sample_id FROM verdicts WHERE trusted_as IS NOT NULL) USING (dataset, sample_id)
    WHERE dataset = getvariable('dataset')
) AS r
WHERE r.sha256 IN (
    SELECT unnest(images).sha256 FROM rows WHERE dataset = getvariable('reference')
)
GROUP BY r.sample_id, r.dataset

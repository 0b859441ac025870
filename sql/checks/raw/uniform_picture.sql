-- warning: a picture of a single colour shows nothing that an answer could be about
SELECT DISTINCT ON (r.sample_id) r.sample_id, r.dataset,
       format('The picture shows almost nothing: its colours vary by {:.1f} of 127 ({}).', p.spread, p.path) AS reason
FROM (SELECT sample_id, dataset, unnest(images).path AS path FROM rows WHERE dataset = getvariable('dataset')) AS r
JOIN images AS p ON p.dataset = r.dataset AND p.path = r.path
WHERE p.spread < 2

-- info: no trusted row asks anything like this, so nothing can be said of the answer; add some like it to the trusted rows
-- needs: trusted rows
SELECT p.sample_id, p.dataset,
       format('No trusted row asks anything like it; the nearest is {} (cosine {:.2f}).', left(p.nearest, 8), p.nearest_cosine) AS reason
FROM store.fresh_suspicions(getvariable('dataset'), getvariable('model_key'), getvariable('reference'), getvariable('reference_hash'), 'dataset') AS p
WHERE p.is_unlike

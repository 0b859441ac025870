-- info: no trusted row asks anything like this, or has so short or long an answer, so nothing can be said of it; add some like it to the trusted rows
-- needs: trusted rows
SELECT p.sample_id, p.dataset,
       CASE p.unlike_because
           WHEN 'shorter' THEN 'Its answer is shorter than those of the trusted rows.'
           WHEN 'longer' THEN 'Its answer is longer than those of the trusted rows.'
           ELSE format('No trusted row asks anything like it; the nearest is {} (cosine {:.2f}).', left(p.nearest, 8), p.nearest_cosine)
       END AS reason
FROM store.fresh_suspicions(getvariable('dataset'), getvariable('model_key'), getvariable('reference'), getvariable('reference_hash'), 'dataset') AS p
WHERE p.is_unlike

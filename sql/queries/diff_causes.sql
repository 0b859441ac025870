-- How many rows two versions of a split decide differently, by what changed.
SELECT decision_a, decision_b, cause, count(*) AS rows FROM split_diff($split, $version_a, $version_b)
GROUP BY ALL ORDER BY rows DESC, cause, decision_a, decision_b;

SELECT count(DISTINCT sample_id) FROM flags WHERE dataset = $dataset AND severity IN ('warning', 'critical');

SELECT check_name, severity, count(*) AS rows FROM flags WHERE dataset = $dataset GROUP BY ALL ORDER BY rows DESC, check_name;

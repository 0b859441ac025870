-- How many of the rows to decide have which verdict, and by whom.
SELECT coalesce(v.verdict, 'undecided') AS verdict, v.who, count(*) AS rows
FROM rows_to_decide AS d LEFT JOIN verdicts AS v ON v.sample_id = d.sample_id AND v.dataset = $dataset
GROUP BY ALL ORDER BY rows DESC, verdict, who;

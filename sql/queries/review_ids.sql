-- The rows of the review queue that a filter lets pass. An empty part of the filter lets every row pass.
SELECT q.sample_id, q.verdict IS NOT NULL AS is_decided
FROM review_queue AS q JOIN rows AS r ON r.sample_id = q.sample_id AND r.dataset = $dataset
WHERE ($check = '' OR list_contains(q.checks, $check))
  AND ($source = '' OR $source = CASE WHEN $pointer = '' THEN q.source_file ELSE json_extract_string(r.metadata, $pointer) END)
  AND ($looks_like = '' OR q.looks_like = $looks_like)
  AND ($verdict = '' OR coalesce(q.verdict, 'undecided') = $verdict)
  AND ($text = '' OR contains(lower(r.prompt), lower($text)) OR contains(lower(r.answer), lower($text)))
ORDER BY q.position;

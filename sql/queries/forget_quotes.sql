-- Replace reasons of other rows that quote this row. Reasons that consist of ranks cannot quote.
UPDATE store.TABLE SET reason = 'quoted a row that was to be forgotten'
WHERE len(list_filter($quotes, lambda quote: contains(lower(reason), quote))) > 0
  AND NOT regexp_matches(reason, '^(kept|over budget|nearly the same as|not scored|was to be forgotten)\b[^(]*:');

-- Clear rejected lines that hold the row's text too, such as a cut line or one without its picture. Quotes and spaces are ignored.
WITH mine AS (SELECT unnest([left(prompt, 100), left(answer, 100), left(record, 300)]) AS text FROM store.rows WHERE sample_id = $sample_id),
plain AS (SELECT regexp_replace(lower(text), '\\[nrtbf"/\\]|[^\pL\pN]+', '', 'g') AS text FROM mine)
UPDATE store.rejects SET raw = ''
WHERE EXISTS (SELECT 1 FROM plain WHERE length(text) >= 8
              AND contains(regexp_replace(lower(raw), '\\[nrtbf"/\\]|[^\pL\pN]+', '', 'g'), text))
RETURNING source_file, source_line;

COPY (SELECT record FROM store.kept_rows($split, $version) ORDER BY sample_id)
TO $file (FORMAT csv, HEADER false, QUOTE '', ESCAPE '', DELIMITER '');

COPY (SELECT record FROM kept ORDER BY sample_id)
TO $file (FORMAT csv, HEADER false, QUOTE '', ESCAPE '', DELIMITER '');

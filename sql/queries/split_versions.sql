SELECT version FROM splits WHERE split = $split ORDER BY version;

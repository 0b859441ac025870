SELECT version FROM splits WHERE split = $1 ORDER BY version;

SELECT * REPLACE (strftime(created_at AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%SZ') AS created_at)
FROM store.splits WHERE split = $split AND version = $version;

-- Where a version of a split is published; no row if it is not.
SELECT folder FROM store.splits WHERE split = $split AND version = $version AND manifest_sha256 IS NOT NULL;

INSERT INTO store.published SELECT $split, $version, $folder, $manifest_sha256, now();

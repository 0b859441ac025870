SELECT DISTINCT manifest_sha256 FROM store.published WHERE split = $split AND version = $version;

UPDATE store.splits SET manifest_sha256 = $manifest_sha256, folder = $folder WHERE split = $split AND version = $version;

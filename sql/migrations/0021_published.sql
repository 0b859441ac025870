-- The digests of all manifests that we wrote, known before a folder gets its name. A folder with another manifest is not ours.
CREATE TABLE store.published (
    split VARCHAR NOT NULL,
    version INTEGER NOT NULL,
    folder VARCHAR NOT NULL,
    manifest_sha256 VARCHAR NOT NULL,
    written_at TIMESTAMPTZ NOT NULL
);

INSERT INTO store.published
SELECT split, version, folder, manifest_sha256, created_at FROM store.splits WHERE manifest_sha256 IS NOT NULL;

-- Pictures of rows. A row names its pictures in order (name is null where one came inside the row); what is known of a file stands once for each dataset.
ALTER TABLE store.rows DROP COLUMN images;
ALTER TABLE store.rows ADD COLUMN images
    STRUCT(name VARCHAR, path VARCHAR, sha256 VARCHAR, width INTEGER, height INTEGER, mode VARCHAR, size BIGINT)[];

CREATE TABLE store.pictures (
    dataset VARCHAR NOT NULL,
    path VARCHAR NOT NULL,
    reason VARCHAR,                      -- why it cannot be used; then the next columns are null
    sha256 VARCHAR,
    width INTEGER,                       -- upright, pixels
    height INTEGER,
    mode VARCHAR,                        -- Pillow's: RGB, L, P, CMYK, I;16 ...
    format VARCHAR,
    size BIGINT,                         -- bytes; with modified_ns, how ingest sees that a file has changed
    modified_ns BIGINT,
    spread DOUBLE,                       -- standard deviation of the colour that varies most, 0 to 127.5
    thumbnail BLOB                       -- JPEG, at most 256 pixels a side
);

ALTER TABLE store.scores ADD COLUMN image_gain DOUBLE;   -- nats per token that the picture adds over a grey one
ALTER TABLE store.scores ADD COLUMN likeliest VARCHAR[]; -- the model's own token at each place of a short answer

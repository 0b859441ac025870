-- The newest fit of a reference, as safetensors: all that scoring needs beside the model. A run that goes on takes these bytes.
CREATE TABLE store.fitted (
    model_key VARCHAR NOT NULL,
    reference VARCHAR NOT NULL,
    reference_hash VARCHAR NOT NULL,
    content BLOB NOT NULL,
    fitted_at TIMESTAMPTZ NOT NULL,
    run_id VARCHAR NOT NULL
);

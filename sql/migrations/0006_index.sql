-- What answers later questions without the model.
CREATE TABLE store.bases (               -- the directions of a model's index, fitted once and then kept
    model_key VARCHAR PRIMARY KEY,
    basis BLOB NOT NULL,                 -- safetensors
    fitted_at TIMESTAMPTZ NOT NULL,
    run_id VARCHAR NOT NULL
);

CREATE TABLE store.vectors (             -- of a row and a model; no reference is involved
    sample_id VARCHAR NOT NULL,
    model_key VARCHAR NOT NULL,
    vector FLOAT[] NOT NULL,             -- products of these approximate pairwise values
    state FLOAT[] NOT NULL               -- the state that predicts the first answer token, projected
);

CREATE TABLE store.fits (                -- the form in which a run used a reference, and how good form and index were
    run_id VARCHAR NOT NULL,
    model_key VARCHAR NOT NULL,
    reference VARCHAR NOT NULL,
    reference_hash VARCHAR NOT NULL,
    reference_rows BIGINT NOT NULL,
    rank INTEGER NOT NULL,               -- directions of the mean gradient that are kept ...
    tokens INTEGER NOT NULL,             -- ... and tokens of the vocabulary
    residual DOUBLE NOT NULL,            -- what is left out, as a share of its Frobenius norm
    deviation DOUBLE NOT NULL,           -- largest error of a value on probe rows, as a share of the largest value
    index_correlation DOUBLE,            -- of the index's products with exact pairwise values, on held-out pairs
    index_pairs BIGINT NOT NULL,
    dtype VARCHAR NOT NULL,
    device VARCHAR NOT NULL,
    fitted_at TIMESTAMPTZ NOT NULL
);

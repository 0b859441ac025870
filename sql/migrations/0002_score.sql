-- Scores hang on content, not on a dataset: a row that is in two datasets is scored once.
CREATE TABLE store.models (
    model_key VARCHAR PRIMARY KEY,       -- hash of all columns up to `settings`
    model VARCHAR NOT NULL,              -- readable name and the beginning of the key
    weights VARCHAR NOT NULL,
    adapter VARCHAR,
    template VARCHAR NOT NULL,
    masking VARCHAR NOT NULL,
    max_tokens INTEGER NOT NULL,
    scoring_version INTEGER NOT NULL,
    settings JSON NOT NULL,              -- the other settings that change a number: dtype, rank_tolerance ...
    first_used_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE store.scores (
    sample_id VARCHAR NOT NULL,
    model_key VARCHAR NOT NULL,
    reference VARCHAR NOT NULL,
    reference_hash VARCHAR NOT NULL,     -- content_hash of the reference that it was scored against
    value DOUBLE,
    value_per_token DOUBLE,
    value_cosine DOUBLE,
    self_value DOUBLE,
    nll DOUBLE,
    worst_token DOUBLE,
    conditional_gain DOUBLE,
    local_value DOUBLE,
    label_probe DOUBLE,
    answer_tokens INTEGER NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    truncated BOOLEAN NOT NULL,
    tokens VARCHAR[] NOT NULL,           -- the answer tokens, in order, and for each ...
    token_values FLOAT[] NOT NULL,       -- ... its value
    token_logprobs FLOAT[] NOT NULL,     -- ... and its log-probability
    scored_at TIMESTAMPTZ NOT NULL,
    run_id VARCHAR NOT NULL
);

CREATE TABLE store.unscorable (          -- rows that a model cannot score, with the reason: they are rejects, not zeros
    sample_id VARCHAR NOT NULL,
    model_key VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    run_id VARCHAR NOT NULL
);

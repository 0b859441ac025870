-- Index vectors in 8 bits a number: a quarter of the room, and products that are as close.
CREATE TABLE store.packed (              -- of a row and a model; no reference is involved. The view store.vectors has them as floats
    sample_id VARCHAR NOT NULL,
    model_key VARCHAR NOT NULL,
    vector TINYINT[] NOT NULL,           -- times unit; products of these approximate pairwise values
    unit FLOAT NOT NULL,
    state TINYINT[] NOT NULL,            -- times state_unit; the state that predicts the first answer token, projected
    state_unit FLOAT NOT NULL
);

INSERT INTO store.packed
SELECT sample_id, model_key,
       list_transform(vector, lambda x: CASE WHEN unit > 0 THEN round(x / unit) ELSE 0 END)::TINYINT[], unit,
       list_transform(state, lambda x: CASE WHEN state_unit > 0 THEN round(x / state_unit) ELSE 0 END)::TINYINT[], state_unit
FROM (
    SELECT *, (coalesce(list_max(list_transform(vector, lambda x: abs(x))), 0) / 127)::FLOAT AS unit,
           (coalesce(list_max(list_transform(state, lambda x: abs(x))), 0) / 127)::FLOAT AS state_unit
    FROM store.vectors
);

DROP TABLE store.vectors;

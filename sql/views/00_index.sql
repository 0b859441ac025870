-- The index is stored as 8-bit integers, each list with the unit that one step stands for. Queries use it as floats.
CREATE OR REPLACE MACRO store.unit(list) AS (coalesce(list_max(list_transform(list, lambda x: abs(x))), 0) / 127)::FLOAT;

CREATE OR REPLACE MACRO store.pack(list, unit) AS list_transform(list, lambda x: CASE WHEN unit > 0 THEN round(x / unit) ELSE 0 END)::TINYINT[];

CREATE OR REPLACE MACRO store.floats(list, unit) AS list_transform(list, lambda x: x * unit);

CREATE OR REPLACE VIEW store.vectors AS
SELECT sample_id, model_key, store.floats(vector, unit) AS vector, store.floats(state, state_unit) AS state,
       store.floats(text_state, text_unit) AS text_state
FROM store.packed;

-- Vectors of rows that have none yet: a row that was scored against another reference has one.
INSERT INTO store.packed BY NAME
SELECT sample_id, model_key, store.pack(vector, unit) AS vector, unit, store.pack(state, state_unit) AS state, state_unit,
       store.pack(text_state, text_unit) AS text_state, text_unit
FROM (SELECT *, store.unit(vector) AS unit, store.unit(state) AS state_unit, store.unit(text_state) AS text_unit
      FROM new_scores WHERE NOT has_vector);

INSERT INTO store.scores BY NAME SELECT * EXCLUDE (vector, state, text_state, has_vector) FROM new_scores;

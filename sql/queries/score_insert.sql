INSERT INTO store.scores BY NAME SELECT * EXCLUDE (vector, state, text_state) FROM new_scores;

INSERT INTO store.scores BY NAME SELECT * EXCLUDE (vector, state) FROM new_scores;

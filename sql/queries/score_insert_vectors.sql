-- A row that is scored against another reference has its vector already.
INSERT INTO store.vectors BY NAME
SELECT sample_id, model_key, vector, state FROM shard ANTI JOIN store.vectors USING (sample_id, model_key);

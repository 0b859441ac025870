INSERT INTO store.scores BY NAME FROM shard;

INSERT INTO store.approvals
SELECT $split, $version, $decision, $who, $note, now(), now() + to_seconds($hours * 3600);

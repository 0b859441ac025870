-- Why a row is unlike all trusted rows: asks (nothing that one of them asks), shorter or longer (its answer).
ALTER TABLE store.suspicions ADD COLUMN unlike_because VARCHAR;

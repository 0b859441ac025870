INSERT INTO store.verdicts VALUES ($sample_id, $dataset, $verdict, $answer, $record, $why, $who, now());

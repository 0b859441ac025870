INSERT INTO store.verdicts BY NAME
SELECT $sample_id AS sample_id, $dataset AS dataset, $verdict AS verdict, $answer AS answer, $record AS record, $why AS why, $who AS who,
       now() AS decided_at, $page AS page, $trusted_as AS trusted_as;

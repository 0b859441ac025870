INSERT INTO store.forgotten VALUES ($sample_id, $reason, $who, now()) ON CONFLICT DO NOTHING;

INSERT INTO store.canaries BY NAME
SELECT t.kind, t.tools, p.*, $reference AS reference, $reference_hash AS reference_hash, $run_id AS run_id
FROM new_canaries AS p JOIN (
    SELECT sample_id, any_value(kind) AS kind, any_value(tools) AS tools
    FROM store.rows WHERE dataset = $reference AND retired_at IS NULL GROUP BY sample_id
) AS t ON t.sample_id = p.twin;

SELECT dataset, role, layout, kind, rows, rejected, duplicates FROM datasets WHERE dataset IN ($dataset, $reference) ORDER BY role;

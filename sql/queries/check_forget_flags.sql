-- Delete the flags of every check that this stage ever had, so that those of a removed check are deleted too.
DELETE FROM store.flags
WHERE dataset = $dataset
  AND check_name IN (SELECT check_name FROM store.checks WHERE dataset = $dataset AND stage = $stage);

-- The current decision about a version: asked (waiting), approved, rejected, timed out. No row if nobody was asked.
SELECT decision, who, note FROM approvals WHERE split = $split AND version = $version;

-- What counts of a version: asked (wait), approved, rejected, timed out; no row where nobody was asked.
SELECT decision, who, note FROM approvals WHERE split = $split AND version = $version;

-- Which of a model's settings count now: those of its last run.
ALTER TABLE store.models ADD COLUMN last_used_at TIMESTAMPTZ;
UPDATE store.models SET last_used_at = coalesce(
    (SELECT max(f.fitted_at) FROM store.fits AS f WHERE f.model_key = models.model_key), first_used_at);

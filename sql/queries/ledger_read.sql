-- The numbers of some units.
SELECT setting, method, seed, metric, value FROM store.evaluations SEMI JOIN units_to_read USING (unit) ORDER BY setting, method, seed, metric;

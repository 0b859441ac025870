SELECT count(*) > 0 FROM store.evaluations WHERE unit = $unit;

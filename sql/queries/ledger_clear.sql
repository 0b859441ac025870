DELETE FROM store.comparisons WHERE unit = $unit;

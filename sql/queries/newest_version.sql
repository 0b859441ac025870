SELECT max(version) FROM store.splits WHERE split = $split;

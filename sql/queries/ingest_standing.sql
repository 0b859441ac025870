SELECT path, size, modified_ns FROM store.pictures WHERE dataset = $dataset;

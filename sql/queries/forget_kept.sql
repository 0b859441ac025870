SELECT path FROM store.pictures;

SELECT fact, about, detail FROM explain($sample_id);

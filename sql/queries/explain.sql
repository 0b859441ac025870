SELECT fact, about, detail FROM explain($1);

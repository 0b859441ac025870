SELECT count(*) FROM rows WHERE dataset = $dataset;

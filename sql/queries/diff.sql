FROM split_diff($1, $2, $3);

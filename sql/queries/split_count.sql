SELECT count(*) FROM judged;

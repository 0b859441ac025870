SELECT check_name, flagged, reviewed, confirmed, precision, low, high FROM flag_precision WHERE dataset = $dataset ORDER BY check_name;

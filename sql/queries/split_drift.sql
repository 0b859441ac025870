SELECT previous, flagged, flagged_moved FROM split_drift WHERE split = $split AND version = $version;

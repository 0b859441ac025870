FROM split_diff($split, $version_a, $version_b);

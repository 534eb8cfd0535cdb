"""Real data for `qmig demo`, and the comparison of source and target."""

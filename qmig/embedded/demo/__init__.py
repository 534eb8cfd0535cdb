"""Real data for `qmig demo`, and the comparison of what arrived with what was there."""

"""How far off may it be? Intervals that bound rounding, the tolerances that follow, and verdicts."""

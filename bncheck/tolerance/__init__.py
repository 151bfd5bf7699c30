"""How far off may it be? Intervals that bound rounding, and the verdicts that follow from them."""

"""The only place that formats: reports and formulas as text, JSON, JUnit, LaTeX, MathML and NumPy source."""

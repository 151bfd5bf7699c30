"""Grading a class: which submissions there are, what each has handed in, what is said of it, and how that is shown."""

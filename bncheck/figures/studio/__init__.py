"""Where figures are made: their look, their page, graphs and their layout, files, and what must not go wrong."""

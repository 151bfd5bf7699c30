"""How an experiment is made: data, the loop that fits a network, and what is run, kept and handed on."""

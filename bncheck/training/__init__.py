"""Does it matter? Networks that train on gradients which bncheck derived, and what is seen of them.

`networks` is what is trained, `laboratory` how an experiment is run and kept, and a file that lies in `experiments` is
an experiment.
"""

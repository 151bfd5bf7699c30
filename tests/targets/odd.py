"""Right, but with names and an order that nobody would guess."""

import numpy as np


def go(q, w, e, r):
    s = np.sqrt(w.var(0) + e)
    t = (w - w.mean(0)) / s
    return r * t + q, (t, s, r)


def og(p, o):
    t, s, r = p
    i = o * r
    return o.sum(0), (i - i.mean(0) - t * (i * t).mean(0)) / s, (o * t).sum(0)

# exercise 3: backprop through the batchnorm layer in one go
import numpy as np


def hprebn_to_hpreact(hprebn, bngain, bnbias):
    bnmeani = hprebn.mean(0, keepdims=True)
    bndiff = hprebn - bnmeani
    bnvar = (bndiff**2).mean(0, keepdims=True)
    bnvar_inv = (bnvar + 1e-5) ** -0.5
    bnraw = bndiff * bnvar_inv
    hpreact = bngain * bnraw + bnbias
    return hpreact, bnraw, bnvar_inv


def dhpreact_to_dhprebn(dhpreact, bngain, bnraw, bnvar_inv):
    n = dhpreact.shape[0]
    dbngain = (bnraw * dhpreact).sum(0, keepdims=True)
    dbnbias = dhpreact.sum(0, keepdims=True)
    dhprebn = bngain * bnvar_inv / n * (
        n * dhpreact - dhpreact.sum(0) - n / (n - 1) * bnraw * (dhpreact * bnraw).sum(0)
    )
    return dhprebn, dbngain, dbnbias

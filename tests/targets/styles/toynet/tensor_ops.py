def standardise(x, mean, std):
    return (x - mean) / std


def blend(old, new, keep):
    return keep * old + (1 - keep) * new

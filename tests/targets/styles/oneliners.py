from numpy import mean, sqrt, sum

EPS = 1e-5
center = lambda x: x - mean(x, axis=0)
sd = lambda x: sqrt(mean(center(x) ** 2, axis=0) + EPS)
hat = lambda x: center(x) / sd(x)
bn = lambda x, w, b: w * hat(x) + b

d_b = lambda x, w, b, dy: sum(dy, axis=0)
d_w = lambda x, w, b, dy: sum(dy * hat(x), axis=0)
d_x = lambda x, w, b, dy: center(w * dy) / sd(x) - hat(x) * mean(w * dy * hat(x), axis=0) / (2 * sd(x))
bn_grad = lambda x, w, b, dy: (d_x(x, w, b, dy), d_w(x, w, b, dy), d_b(x, w, b, dy))

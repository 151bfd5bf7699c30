import numpy as np

class BatchNormLayer:
    def __init__(self, size):
        self.g = np.ones((1, size))
        self.b = np.zeros((1, size))
        self.avg_mean = np.zeros((1, size))
        self.avg_var = np.ones((1, size))

    def forward(self, input_data, is_training=True):
        self.input = input_data
        if is_training:
            self.mean = input_data.mean(0, keepdims=True)
            self.var = input_data.var(0, keepdims=True)
            self.avg_mean = 0.95 * self.avg_mean + 0.05 * self.mean
            self.avg_var = 0.95 * self.avg_var + 0.05 * self.var
            m, v = self.mean, self.var
        else:
            m, v = self.avg_mean, self.avg_var
        self.x_norm = (input_data - m) / np.sqrt(v + 1e-7)
        self.output = self.g * self.x_norm + self.b
        return self.output

    # computes dE/dG, dE/dB for a given output_error=dE/dY. Returns input_error=dE/dX.
    def backward(self, output_error, learning_rate):
        n = output_error.shape[0]
        g_error = np.sum(output_error * self.x_norm, axis=0, keepdims=True)
        b_error = np.sum(output_error, axis=0, keepdims=True)

        # update parameters
        self.g -= learning_rate * g_error
        self.b -= learning_rate * b_error

        input_error = self.g / (n * np.sqrt(self.var + 1e-7)) * (n * output_error - b_error - self.x_norm * g_error)
        return input_error

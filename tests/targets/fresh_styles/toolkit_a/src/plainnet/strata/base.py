class Stratum:
    """Signals ascend, sensitivities descend."""

    def __init__(self):
        self.weights, self.sensitivities, self.live = {}, {}, True

    def ascend(self, signal):
        raise NotImplementedError

    def descend(self, sensitivity):
        raise NotImplementedError

    def freeze(self, frozen=True):
        self.live = not frozen
        return self

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np


@dataclass
class Slot:
    array: np.ndarray
    cotangent: np.ndarray = None
    frozen: bool = False


class Slots(OrderedDict):
    """Named arrays in the order of their creation; frozen ones are not trained."""

    def open(self, name, array, frozen=False):
        self[name] = Slot(array, None, frozen)
        return self

    def trained(self):
        return [s for s in self.values() if not s.frozen]

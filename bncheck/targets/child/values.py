"""What is handed to somebody's code: for every role a value, among them dictionaries that answer to any name."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from bncheck.targets.child.families import NumPy, plain
from bncheck.targets.child.roles import ONLY_WHEN_ASKED, RUNNING, role, simplified
from bncheck.targets.child.slots import shape, unwrapped
from bncheck.targets.child.styles import PARAMETERS, Given


def rate_in(dtype: Any) -> float:
    """The learning rate that a backward is given: beside what it subtracts, a parameter is nothing."""
    return 2.0**8 if "float16" in str(dtype) else 2.0**60


class Steps:
    """An optimizer that only steps: w − rate · gradient, whatever its method is called."""

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def update(self, w: Any, gradient: Any, *others: Any) -> Any:
        """The parameter after the step."""
        return w - self.rate * gradient

    step = __call__ = update


class Values(dict[str, Any]):
    """A value for every role: those that the caller gives, and what follows from them.

    `options` and `learned` are the dictionaries that are handed over, `statistics` that of running statistics, `word`
    what evaluation is called.
    """

    def __init__(
        self, family: NumPy, given: Given, keys: Mapping[str, str], word: str, *, keeps_statistics: bool
    ) -> None:
        super().__init__(given)
        self.family, self.given, self.word = family, given, word
        self.rate = rate_in(getattr(given["x"], "dtype", ""))
        parameters = {name: given[name] for name in PARAMETERS if name in given}
        self.options = Handed(self, {name: given[name] for name in ("eps", "momentum") if name in given}, keys)
        self.learned = Handed(self, parameters, keys)
        self.statistics = Handed(self, {}, {}, statistics=True)
        features, of_x = tuple(given["features"]), shape(unwrapped(given["x"]))
        self |= {"size": features[0] if len(features) == 1 else features, "sizes": features}
        self |= {"shape": of_x, "shape without N": of_x[1:], "ndim": len(of_x)}
        self |= {"rate": self.rate, "optimizer": Steps(self.rate), "yes": True, "no": False, "nothing": None}
        self |= {"options": self.options, "parameters": self.learned}
        self |= self._neutral()
        if len(parameters) == 2:
            self |= self._together(parameters)
        if keeps_statistics and "gamma" in given:
            self |= self._running()
        self.set_mode(training=True)

    def set_mode(self, *, training: bool) -> None:
        """Has the roles that speak of a mode speak of this one."""
        mode = "train" if training else self.word
        self |= {"training": training, "evaluating": not training, "mode": mode}
        self.options["mode"] = mode

    @property
    def read(self) -> set[str]:
        """The roles that were read from the dictionaries."""
        return self.options.used | self.learned.used

    @property
    def unknown(self) -> list[str]:
        """The keys of no known role that were asked of the dictionaries."""
        return self.options.unknown + self.learned.unknown

    def _neutral(self) -> Given:
        """γ of ones, or β of zeros, where a layer has none, for code that has it."""
        found = {}
        for name, neutral, other in (("gamma", np.ones, "beta"), ("beta", np.zeros, "gamma")):
            like = plain(self.given[other]) if other in self.given and name not in self.given else None
            if like is not None:
                found[name] = self.family.array(neutral(like.shape, like.dtype))
        return found

    def _together(self, parameters: Given) -> Given:
        """γ and β as one argument, see `bncheck.targets.child.binding.TOGETHER`."""
        found: Given = {"both": tuple(parameters.values())}
        if self.family.name == "numpy":
            flat = [value.ravel() for value in parameters.values()]
            found |= {"packed": np.concatenate(flat), "rows": np.stack(flat), "columns": np.stack(flat, axis=1)}
        return found

    def _running(self) -> Given:
        """Running statistics as they begin."""
        like = plain(self.given["gamma"])
        assert like is not None
        found = {}
        for name, start in (("running_mean", np.zeros), ("running_var", np.ones)):
            found[name] = self.given.get(name, self.family.array(start(like.shape, like.dtype)))
        return {**found, "count": 0, "statistics": self.statistics}


class Handed(dict[str, Any]):
    """A dictionary that is handed to somebody's code, and answers to whatever its keys are called.

    `used` are the roles that were read, `unknown` the keys of no known role, whose roles `keys` may tell.
    """

    used: set[str]
    unknown: list[str]

    def __init__(
        self, values: Mapping[str, Any], own: Mapping[str, Any], keys: Mapping[str, str], *, statistics: bool = False
    ) -> None:
        super().__init__(own)
        # attributes, lest somebody's code find them among the items
        self.__dict__.update(values_of=values, keys_of=keys, statistics=statistics)
        self.__dict__.update(used=set[str](), unknown=list[str]())

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self[name]

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def role(self, key: Any) -> str:
        """The role that a key speaks of here."""
        if self.statistics:
            return role(str(key), RUNNING) or _STATISTICS.get(simplified(key), "")
        return self._role(key)

    def _role(self, key: Any) -> str:
        one = self.keys_of.get(key) or role(str(key), _IN_DICTIONARIES) or _within(str(key))
        return one if one in self.values_of else ""

    def __getitem__(self, key: str) -> Any:
        one = self.role(key)
        if one:
            self.used.add(one)
        return super().__getitem__(key)

    def __missing__(self, key: str) -> Any:
        one = self.role(key)
        if one not in self.values_of:
            self.unknown.append(key)
            raise KeyError(key)
        if self.statistics:  # they are kept here from now on
            self[key] = copy.copy(self.values_of[one])
            return super().__getitem__(key)
        return self.values_of[one]

    def get(self, key: str, default: Any = None) -> Any:
        """The value under a key, or of the role that it speaks of."""
        one = self._role(key)
        if self.holds(key) or (one and one not in ONLY_WHEN_ASKED):
            return self[key]
        return default

    def holds(self, key: str) -> bool:
        """Whether the key itself is there."""
        return super().__contains__(key)

    def __contains__(self, key: object) -> bool:
        return super().__contains__(key) or self._role(key) in ("gamma", "beta")


def _within(key: str) -> str:
    """The parameter that a key speaks of among other things, as ``bn1/gamma`` does."""
    plain = simplified(key)
    return next((one for one in ("gamma", "beta") if one in plain), "")


_STATISTICS = MappingProxyType(
    {**dict.fromkeys(("mean", "mu", "m", "avg", "average"), "running_mean")}
    | dict.fromkeys(("var", "variance", "v", "sigma2", "s2"), "running_var")
    | dict.fromkeys(("count", "counter", "step", "steps", "t", "n", "i", "numbatches", "numbatchestracked"), "count")
)
"""What running statistics are called where nothing else is meant."""

_IN_DICTIONARIES = ("gamma", "beta", "eps", "training", "evaluating", "mode", "momentum", "groups", "rate")

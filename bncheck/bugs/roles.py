"""What the steps of a layer's programs are, found by what they do: which centre, which spread, what γ multiplies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

from bncheck.bugs.expressions import Name, places
from bncheck.bugs.programs import DY, Program, gradient, programs
from bncheck.case import Layout
from bncheck.layers import Layer


@dataclass(frozen=True, eq=False)
class Derived:
    """The right programs of a layer on one layout, by style, and the parts that the steps play in them."""

    styles: Mapping[str, Program]

    @property
    def equations(self) -> Program:
        """The chain rule through the named results."""
        return self.styles["equations"]

    @property
    def stages(self) -> Program:
        """The chain rule through every difference and root."""
        return self.styles.get("stages", self.equations)

    @property
    def closed(self) -> Program:
        """The closed form, in dx̂ where there is one."""
        return self.styles.get("closed in dx̂", self.styles.get("closed", self.stages))

    @cached_property
    def statistics(self) -> tuple[str, ...]:
        """The named results that x moves, that vary less than x, and that reach an output."""
        program = self.equations
        moved = {"x"}
        for label, expression in program.forward.items():
            if expression.names & moved:
                moved.add(label)
        small = (n for n in program.forward if not set(program.axes[n]) >= set(program.layout.axes))
        return tuple(n for n in small if n in moved and gradient(n) in program.backward)

    @cached_property
    def centring(self) -> tuple[str, ...]:
        """The statistics that are linear in x: a mean."""
        program = self.equations
        return tuple(n for n in self.statistics if program.forward[n].names == {"x"} and self._is_linear(n))

    def _is_linear(self, label: str) -> bool:
        return all(not hasattr(node, "exponent") for _, node in places(self.equations.forward[label]))

    @cached_property
    def spread(self) -> tuple[str, ...]:
        """The other statistics: a variance, a mean square."""
        return tuple(name for name in self.statistics if name not in self.centring)

    @cached_property
    def scale(self) -> tuple[str, ...]:
        """The parameters that multiply: their gradients need what they multiply."""
        backward, steps = self.equations.backward, {"x", *self.equations.forward}
        return tuple(n for n in self.equations.parameters if backward[gradient(n)].names & steps)

    @cached_property
    def shift(self) -> tuple[str, ...]:
        """The parameters that are added."""
        return tuple(name for name in self.equations.parameters if name not in self.scale)

    @cached_property
    def normalised(self) -> str:
        """The step as large as x that comes last before y; none where y is the first."""
        program = self.equations
        large = [n for n in program.forward if set(program.axes[n]) == set(program.layout.axes) and n != "y"]
        reaching = [n for n in large if gradient(n) in program.backward or program.forward["y"] == Name(n)]
        return reaching[-1] if reaching else ""

    @property
    def before(self) -> str:
        """The gradient that arrives at `normalised`: dx̂, which is dy itself where nothing is multiplied."""
        label = gradient(self.normalised)
        return label if label in self.equations.backward else DY


@lru_cache(maxsize=256)
def derived(layer: Layer, layout: Layout, parameters: tuple[str, ...]) -> Derived:
    """The programs of a layer, with the parameters that a case has, and the parts that their steps play.

    >>> from bncheck.layers import LAYERS
    >>> layer = LAYERS["batch_norm"]
    >>> parts = derived(layer, layer.layouts[0], ("gamma", "beta"))
    >>> parts.centring, parts.spread, parts.scale, parts.shift, parts.normalised
    (('mean',), ('var',), ('gamma',), ('beta',), 'xhat')
    """
    return Derived(programs(layer, layout, parameters))

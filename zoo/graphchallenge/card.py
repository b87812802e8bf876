"""The cards of the MIT Graph Challenge's sparse networks: generated, or the official files.

Truth is the published list of the samples that are non-zero at the end; where none holds (generated weights, or not
all 120 layers), it is computed in numpy.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zoo.card import Arrays, Card, Examples, Verdict
from zoo.graphchallenge import export, network, reference, samples
from zoo.options import option

OFFICIAL_LAYERS = 120
RTOL, ATOL = 1e-3, 1e-3
"""Relative and absolute tolerance for values against numpy's: 120 layers of float32 sums in another order."""


@dataclass(frozen=True)
class Options:
    """What a user may choose."""

    layers: int = option(OFFICIAL_LAYERS, "number of layers", minimum=1)
    data: Path | None = option(None, "folder with the official files; without it, network and inputs are generated")  # noqa: RUF009
    dense: bool = option(False, "store the zeros too: larger, but every ONNX tool reads it")
    seed: int = option(0, "seed of what is generated", minimum=0)


class GraphChallenge(Card[Options]):
    """x [samples, N] float32, zeros and ones -> y [samples, N] float32."""

    options = Options

    def __init__(self, neurons: int) -> None:
        self.neurons = neurons
        self.name = f"graphchallenge-{neurons}"
        self.summary = (
            f"MIT Graph Challenge sparse network: {neurons} neurons a layer, 32 inputs each (MatMul, Add, Clip)"
        )

    def network(self, options: Options) -> network.Network:
        """The network itself.

        Raises:
            DataError: the official files are missing or wrong.
        """
        if options.data is None:
            return network.generate(self.neurons, options.layers, options.seed)
        path = options.data / f"neuron{self.neurons}-l{OFFICIAL_LAYERS}-weights.npz"
        return network.load_official(path, self.neurons, options.layers)

    def build(self, options: Options, folder: Path) -> Path:
        """Write the network; dense weights over 1 GiB as external data."""
        return export.write(self.network(options), folder / f"{self.name}.onnx", dense=options.dense)

    def examples(self, options: Options, count: int) -> Examples:
        """truth: `alive` [count] bool as published, or `y` [count, N] float32 computed in numpy."""
        self.check_count(count)
        if options.data is None:
            x, source = samples.generated(self.neurons, count, options.seed), "generated inputs"
        else:
            x = samples.load_official(options.data / f"inputs-{self.neurons}-10000.npz", self.neurons, count)
            source = "official inputs"
        if options.data is not None and options.layers == OFFICIAL_LAYERS:
            path = options.data / f"neuron{self.neurons}-l{OFFICIAL_LAYERS}-categories.tsv"
            return Examples({"x": x}, {"alive": samples.load_categories(path, count)}, f"{source}, published truth")
        truth = {"y": reference.run(self.network(options), x)}
        return Examples({"x": x}, truth, f"{source}, no published truth: computed in numpy")

    def check(self, outputs: Arrays, examples: Examples) -> Verdict:
        """A sample is right if it is non-zero exactly where the truth is, and, if values are known, close to them."""
        y = self.pick(outputs, "y", examples.inputs["x"].shape)
        alive, truth = y.any(axis=1), _alive(examples.truth)
        same = alive == truth
        if "y" in examples.truth:
            same &= np.isclose(y, examples.truth["y"], rtol=RTOL, atol=ATOL).all(axis=1)
        right, total = int(same.sum()), len(same)
        text = f"{right} of {total} samples right: {alive.sum()} non-zero, {truth.sum()} expected ({examples.origin})"
        return Verdict(right, total, right == total, text)


def _alive(truth: Arrays) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """[samples] bool: which samples are non-zero at the end."""
    return np.asarray(truth["alive"] if "alive" in truth else truth["y"].any(axis=1))

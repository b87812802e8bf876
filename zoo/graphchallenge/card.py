"""The cards of the MIT Graph Challenge's sparse networks: generated, or the official files.

Truth is the published list of the samples that are non-zero at the end; where none holds (generated weights, or not
all 120 layers), it is computed in numpy.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

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
    data: Path | None = option(None, "folder with the official files; what it lacks is generated, but for N = 1024")  # noqa: RUF009
    dense: bool = option(False, "store the zeros too: larger, but every ONNX tool reads it")
    seed: int = option(0, "seed of what is generated", minimum=0)
    control: bool = option(False, "random connections and weights instead: a network of this size without structure")


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
        if options.control:
            return network.control(self.neurons, options.layers, options.seed)
        if not self._has_official_weights(options):
            return network.generate(self.neurons, options.layers, options.seed)
        return network.load_official(self._weights_path(options), self.neurons, options.layers)

    def _weights_path(self, options: Options) -> Path:
        return (options.data or Path()) / f"neuron{self.neurons}-l{OFFICIAL_LAYERS}-weights.npz"

    def _has_official_weights(self, options: Options) -> bool:
        """Whether the folder should have them: of the larger networks it may have the inputs alone."""
        smallest = self.neurons == samples.SIDE**2
        return options.data is not None and (smallest or self._weights_path(options).exists())

    def build(self, options: Options, folder: Path) -> Path:
        """Write the network; weights over 1 GiB as external data."""
        return export.write(self.network(options), folder / f"{self.name}.onnx", dense=options.dense)

    def examples(self, options: Options, count: int) -> Examples:
        """truth: `alive` [count] bool as published, or `y` [count, N] float32 computed in numpy."""
        x, source = self.inputs(options, count)["x"], f"{'generated' if options.data is None else 'official'} inputs"
        if options.data is not None and self.has_published_truth(options):
            path = options.data / f"neuron{self.neurons}-l{OFFICIAL_LAYERS}-categories.tsv"
            return Examples({"x": x}, {"alive": samples.load_categories(path, count)}, f"{source}, published truth")
        truth = {"y": reference.run(self.network(options), x)}
        return Examples({"x": x}, truth, f"{source}, no published truth: computed in numpy")

    def inputs(self, options: Options, count: int) -> Arrays:
        """x [count, N]; without the truth, which takes long to compute for large networks."""
        self.check_count(count)
        if options.data is None:
            return {"x": samples.generated(self.neurons, count, options.seed)}
        return {"x": self._official_inputs(options.data, count)}

    def has_published_truth(self, options: Options) -> bool:
        """Whether it is known without computing which samples are non-zero at the end."""
        return self._has_official_weights(options) and options.layers == OFFICIAL_LAYERS and not options.control

    def _official_inputs(self, data: Path, count: int) -> NDArray[np.float32]:
        """Those of this size, or else the smallest ones enlarged."""
        path, small = (data / f"inputs-{size}-10000.npz" for size in (self.neurons, samples.SIDE**2))
        if path.exists() or path == small:
            return samples.load_official(path, self.neurons, count)
        images = samples.load_official(small, samples.SIDE**2, count)
        return samples.enlarge(images.astype(bool).reshape(-1, samples.SIDE, samples.SIDE), self.neurons)

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

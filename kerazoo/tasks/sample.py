"""`sample`: a seed in, a picture that never was out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from kerazoo.contract import Network, Port, Signature, Tensor, Tensors
from kerazoo.tasks.redraw import Picture


@dataclass(frozen=True)
class Sample:
    """Normal noise through the decoder. The same seed gives the same noise on every engine: see `ops.normal`.

    Attributes:
        latents: Numbers of noise a picture is made from.
        height, width, channels: Of a picture; 1 channel is grey, 3 are RGB.
        part: The part of the network that draws: noise [batch, latents] to [batch, height, width, channels].
        output: What that is: `logits`, whose sigmoid is the brightness, or brightness itself, in -1..1 (`signed`) or
            0..1 (`unit`).
    """

    kind: ClassVar[str] = "sample"
    batched: ClassVar[bool] = True

    latents: int
    height: int
    width: int
    channels: int = 1
    part: str = "decoder"
    output: str = "logits"

    @property
    def request(self) -> tuple[Port, ...]:
        return (Port("seed", "int64", (None,), "seed"),)

    @property
    def response(self) -> tuple[Port, ...]:
        return (Port("image_bytes", "string", (None,), "image"),)

    @property
    def parts(self) -> Mapping[str, Signature]:
        noise = Port("noise", "float32", (None, self.latents))
        drawn = Port(self.output, "float32", (None, self.height, self.width, self.channels))
        return {self.part: Signature((noise,), (drawn,))}

    def noise(self, ops: Any, request: Tensors) -> Tensor:
        """What is drawn from, float32 [batch, latents]."""
        return ops.normal(request["seed"], self.latents)

    def answer(self, network: Network, request: Tensors) -> Tensors:
        ops = network.ops
        drawn = network.part(self.part)({"noise": self.noise(ops, request)})[self.output]
        pixels = ops.whole(self.brightness(ops, drawn) * 255.0)

        def encode(image: Tensor) -> Tensor:
            return ops.encode_png(image)

        return {"image_bytes": ops.map_items(encode, pixels)}

    def brightness(self, ops: Any, drawn: Tensor) -> Tensor:
        """What the network drew, in 0..1."""
        if self.output == "logits":
            return ops.sigmoid(drawn)
        return (drawn + 1.0) / 2.0 if self.output == "signed" else drawn

    def read(self, response: Tensors, row: int) -> Picture:
        return Picture(response["image_bytes"][row])


@dataclass(frozen=True)
class FromNoise(Sample):
    """The same from noise that is given: what lies between two seeds, or nearer to the mean of all pictures."""

    @property
    def request(self) -> tuple[Port, ...]:
        return (Port("noise", "float32", (None, self.latents)),)

    def noise(self, ops: Any, request: Tensors) -> Tensor:
        return request["noise"]


@dataclass(frozen=True)
class Hierarchical(Sample):
    """The same through groups of latent variables, each drawn behind those before it: see `kerazoo.layers.hierarchy`.

    All groups' noise comes as one, the coarsest first. The Keras model describes pictures; what draws is made of its
    decoder.
    """

    def derived(self, part: str, model: Any) -> Any:
        """The decoder of a model whose layers are the hierarchy's pieces; colours end in their mean."""
        from kerazoo.layers import MixtureMean, hierarchy

        return hierarchy.generating(model, MixtureMean(name=self.output) if self.output == "unit" else None)

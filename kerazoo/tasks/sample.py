"""`sample`: a seed in, and where the network knows classes one of them; a picture that never was out."""

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
        labels: Names of the classes that can be asked for, where the network is told a class beside the noise.
    """

    kind: ClassVar[str] = "sample"
    batched: ClassVar[bool] = True

    latents: int
    height: int
    width: int
    channels: int = 1
    part: str = "decoder"
    output: str = "logits"
    labels: tuple[str, ...] = ()

    @property
    def request(self) -> tuple[Port, ...]:
        return (Port("seed", "int64", (None,), "seed"), *self._asked)

    @property
    def _asked(self) -> tuple[Port, ...]:
        return (Port("label", "string", (None,), "category"),) if self.labels else ()

    @property
    def response(self) -> tuple[Port, ...]:
        return (Port("image_bytes", "string", (None,), "image"),)

    @property
    def parts(self) -> Mapping[str, Signature]:
        noise = Port("noise", "float32", (None, self.latents))
        told = (Port("label", "int32", (None,)),) if self.labels else ()
        drawn = Port(self.output, "float32", (None, self.height, self.width, self.channels))
        return {self.part: Signature((noise, *told), (drawn,))}

    def noise(self, ops: Any, request: Tensors) -> Tensor:
        """What is drawn from, float32 [batch, latents]."""
        return ops.normal(request["seed"], self.latents)

    @property
    def called(self) -> tuple[str, ...]:
        """What a class can be asked for by: the names of all, then their numbers."""
        return (*self.labels, *(str(number) for number in range(len(self.labels))))

    @property
    def some(self) -> str:
        """The labels, or the first of very many, for messages."""
        return ", ".join(self.labels[:12]) + (", ..." if len(self.labels) > 12 else "")

    def turn(self, seed: int) -> dict[str, str]:
        """What is asked for where only a seed is given: the classes take turns."""
        return {"label": self.labels[seed % len(self.labels)]} if self.labels else {}

    def told(self, ops: Any, request: Tensors) -> Tensor:
        """The number of each class that is asked for, int32 [batch]; of those that say none, by turns with the seed.

        Raises:
            InputError: There is no such class.
        """
        count, seeds = len(self.labels), request.get("seed")
        known = (*self.called, "") if seeds is not None else self.called
        same = ops.cast(request["label"][:, None] == ops.gather(known, ops.arange(len(known))), "int32")
        ops.check(ops.sum(same, 1) > 0, f"There is no such label; what can be drawn, by name or number: {self.some}.")
        place = ops.cast(ops.argmax(same), "int32")
        if seeds is None:
            return place % count
        return ops.where(place == 2 * count, ops.cast(seeds % count, "int32"), place % count)

    def answer(self, network: Network, request: Tensors) -> Tensors:
        ops = network.ops
        given = {"noise": self.noise(ops, request), **({"label": self.told(ops, request)} if self.labels else {})}
        drawn = network.part(self.part)(given)[self.output]
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
        return (Port("noise", "float32", (None, self.latents)), *self._asked)

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

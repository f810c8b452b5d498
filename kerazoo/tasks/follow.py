"""`follow`: two texts in, how probable it is that the second follows the first out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from kerazoo.codecs._wordpiece import END, GOES_ON, WordPiece
from kerazoo.contract import Network, Port, Signature, Tensors
from kerazoo.errors import UsageError


@dataclass(frozen=True)
class Followed:
    """Whether a text follows another.

    Attributes:
        probability: That it does.
    """

    probability: float

    def to_json(self, limit: int = 5) -> dict[str, Any]:
        return {"probability": round(self.probability, 6)}

    def rows(self, limit: int = 5) -> list[str]:
        return [f"{self.probability:6.1%}"]

    def files(self) -> dict[str, bytes]:
        return {}


@dataclass(frozen=True)
class Follow:
    """Next sentence prediction: Devlin et al., arXiv:1810.04805, section 3.1, task 2.

    Attributes:
        input: How the texts become numbers; `[SEP]`, which stands between them, is among its marks.
        part: The part of the network that gives logits of the second text being the first one's next, and being any.
    """

    kind: ClassVar[str] = "follow"
    batched: ClassVar[bool] = True

    input: WordPiece
    part: str = "network"

    def __post_init__(self) -> None:
        if END not in self.input.marks:
            raise UsageError(f"The two texts of this task have {END} between them; it must be a mark of their codec.")

    @property
    def request(self) -> tuple[Port, ...]:
        return (self.input.port,)

    @property
    def response(self) -> tuple[Port, ...]:
        return (Port("probability", "float32", (None,)),)

    @property
    def parts(self) -> Mapping[str, Signature]:
        return {self.part: Signature((self.input.tensor,), (Port("following", "float32", (None, 2)),))}

    def golden(self) -> dict[str, Any]:
        whole = [word for word in self.input.words if word.isalpha() and not word.startswith(GOES_ON)]
        return {"text": f"{whole[0]} {END} {whole[-1]}".encode()}

    def answer(self, network: Network, request: Tensors) -> Tensors:
        ops = network.ops
        tokens = self.input.prepare(ops, request[self.input.port.name])
        # Where a text is empty, what ends it stands behind what begins it or ends the other.
        ends = ops.cast(tokens == self.input.numbers[END], "int32")
        empty = ends[:, 1] + ops.sum(ends[:, 1:] * ends[:, :-1], 1)
        right = (ops.sum(ends, 1) == 2) & (empty == 0)
        ops.check(right, f"Two texts are wanted, with one {END} between them.")
        logits = network.part(self.part)({self.input.tensor.name: tokens})["following"]
        return {"probability": ops.softmax(logits)[:, 0]}

    def read(self, response: Tensors, row: int) -> Followed:
        return Followed(float(response["probability"][row]))

"""A whole server around a model that is a function: no TensorFlow, no files but an empty folder."""

import contextlib
from dataclasses import dataclass
from typing import Any

import grpc

from kerazoo.serve.access import Access
from kerazoo.serve.budget import Budget
from kerazoo.serve.http.app import App, RestOptions
from kerazoo.serve.http.listening import listen
from kerazoo.serve.http.listening import start as start_rest
from kerazoo.serve.limits import Limits
from kerazoo.serve.models.catalogue import Models, Watch
from kerazoo.serve.models.servable import Servable
from kerazoo.serve.models.versions import Retries
from kerazoo.serve.rpc.listening import start as start_grpc
from kerazoo.serve.server import one_model
from kerazoo.serve.service import Service
from kerazoo.serve.wire import protos

OPEN = Access()


@dataclass
class Stub:
    """Ports of a running server, and what may be asked of it."""

    service: Service
    rest: int
    channel: Any

    def call(self, method, request, token=None, timeout=30, service="PredictionService"):
        """The serialized answer to a request, which may be bytes."""
        data = request if isinstance(request, bytes) else request.SerializeToString()
        metadata = (("authorization", f"Bearer {token}"),) if token else ()
        ask = self.channel.unary_unary(f"/tensorflow.serving.{service}/{method}")
        return ask.future(data, timeout=timeout, metadata=metadata)

    def refused(self, *args, **kwargs):
        """Status and message of a request that fails."""
        asked = self.call(*args, **kwargs)
        with contextlib.suppress(grpc.RpcError):
            raise AssertionError(asked.result())
        return asked.code().name, asked.details()


def signature(inputs=("x",), dtype=1):
    made = protos.core("SignatureDef")()
    for name in inputs:
        made.inputs[name].dtype = dtype
    made.outputs["y"].dtype = 1
    return made


@contextlib.contextmanager
def serving(folder, run, described=None, threads=2, access=OPEN, **limits):
    """A server of the model `m`, which answers as `run` does."""
    (folder / "m" / "1").mkdir(parents=True, exist_ok=True)
    servable = Servable({"serving_default": described or signature()}, run, lambda: None, "fake")
    models = Models(lambda *_: servable, Watch(0.05, Retries(0)))
    models.configure([one_model("m", folder / "m")])
    service = Service(models, access=access, budget=Budget(Limits(**limits)))
    rest = start_rest(App(service, RestOptions(threads=threads)), listen(0))
    rpc = start_grpc(service, ["127.0.0.1:0"], threads)
    options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(f"127.0.0.1:{rpc.ports[0]}", options) as channel:
        try:
            yield Stub(service, rest.port, channel)
        finally:
            rest.stop(1)
            rpc.stop(1)
            models.close()


def request(name="m", **tensors):
    """A PredictRequest; each tensor is a TensorProto."""
    made = protos.api("PredictRequest")()
    made.model_spec.name = name
    for alias, tensor in tensors.items():
        made.inputs[alias].CopyFrom(tensor)
    return made


def tensor(shape, dtype=1, **fields):
    made = protos.core("TensorProto")(dtype=dtype, **fields)
    for size in shape:
        made.tensor_shape.dim.add(size=size)
    return made

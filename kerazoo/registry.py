"""Models by name: `variant`, `variant:weights`, or `variant:path/to/weights`.

Nothing is listed here: variants are found in the family files, weights in the manifest.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import functools
import hashlib
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerazoo import applications, assets, manifest, store, tasks
from kerazoo.assets import Assets
from kerazoo.codecs.image import Normalise, from_preprocessing
from kerazoo.contract import Signature, Task, Variant
from kerazoo.errors import UnknownModel, UsageError, near

if TYPE_CHECKING:
    import keras as keras_


@dataclass(frozen=True)
class Model:
    """A variant with weights.

    Attributes:
        name: `variant:weights`, or the bare variant where there are no weights.
        variant: Name of the variant.
        entry: The manifest's entry; `None` for weights of the user's own and for none.
        path: The user's own weight file.
    """

    name: str
    variant: str
    entry: manifest.Entry | None = None
    path: Path | None = None

    @property
    def stem(self) -> str:
        """What its artefacts are called."""
        return self.variant

    @property
    def cached(self) -> str:
        """What its place in the cache is called."""
        return self.name if self.entry is not None else f"{self.variant}:own"

    def identity(self) -> list[Any]:
        """What artefacts of it depend on: other weights or another recipe give another list."""
        require_weights(self)
        entry = self.entry
        if entry is not None:
            roles = (*entry.roles(), *entry.assets())
            published = {role: entry.file(role).hash_value for role in roles}
            if None in published.values():  # Then the file's own hash tells it from another.
                self.fetch()
            hashes = [hash_ or store.sha256_of(entry, role) for role, hash_ in published.items()]
            return [*hashes, dict(entry.preprocessing), entry.labels]
        path = Path(str(self.path))
        return [file_sha256(path), *assets.beside(path).hashes()]

    def fetch(self) -> None:
        """Brings its weights into the cache."""
        if self.entry is not None:
            store.fetch_all(self.entry)

    def build(self) -> Built:
        return build(self)

    @property
    def described(self) -> Variant:
        return variants()[self.variant][1]

    @property
    def family(self) -> Any:
        """The family's module."""
        return variants()[self.variant][0]


@dataclass(frozen=True)
class Built:
    """A Keras model that is ready to answer.

    Attributes:
        name: The model's name.
        keras: The functional model, ending in logits where there are classes; or, with an adapter, a loaded SavedModel.
        tasks: What it does, by kind, the default first.
        normalise: What the deployed network does to its input first; `None` where there is none.
        weights_sha256: Of the weight file; `None` for weights that came from no file.
        config: Variant and sizes, where a builder of Kerazoo made it.
        adapter: How a SavedModel that was made elsewhere calls and holds what the task wants.
    """

    name: str
    keras: keras_.Model
    tasks: Mapping[str, Task]
    normalise: Normalise | None = None
    weights_sha256: str | None = None
    config: Mapping[str, Any] | None = None
    adapter: Any = None

    @property
    def task(self) -> Task:
        """The default task."""
        return next(iter(self.tasks.values()))

    @property
    def parts(self) -> dict[str, Signature]:
        """Of all tasks."""
        return tasks.parts(self.tasks)


@functools.cache
def variants() -> dict[str, tuple[Any, Variant]]:
    """Every variant's family module and description, in the families' order."""
    found: dict[str, tuple[Any, Variant]] = {}
    for family in applications.families():
        module = importlib.import_module(f"{applications.__name__}.{family}")
        for name, variant in module.VARIANTS.items():
            if name in found:
                raise ValueError(f"The variant {name} is declared twice, in {family} and {found[name][0].__name__}.")
            found[name] = (module, variant)
    return found


def find(name: str) -> Model:
    """The model of a name; a bare variant means its first weights in the manifest.

    Raises:
        UnknownModel: No such variant or weights; near names are suggested.
    """
    variant, colon, weights = name.partition(":")
    entries = manifest.load()
    if name in entries:  # Known without importing a single family: the start of every `predict`.
        return Model(name, variant, entries[name])
    named = manifest.entries_of(variant)
    if not colon and named:
        return Model(f"{variant}:{named[0].weights}", variant, named[0])
    if variant not in variants():
        known = [*variants(), *entries]
        raise UnknownModel(f"Unknown model {name!r}.{near(name, known)} `kerazoo models` lists all.")
    if not colon:
        return Model(variant, variant)
    if Path(weights).is_file():
        return Model(name, variant, path=Path(weights))
    words = [entry.weights for entry in named]
    has = f"{variant} has {', '.join(words)}" if words else f"{variant} has no pretrained weights"
    raise UnknownModel(f"Unknown weights {weights!r}: {has}, and no such file exists.{near(weights, words)}")


def tasks_of(model: Model) -> tuple[dict[str, Task], Normalise | None]:
    """The model's tasks, the default first, and the normalisation that its weights want, without building it."""
    own = _assets(model)
    normalise = from_preprocessing(own.preprocessing)[1] if own.preprocessing is not None else None
    return model.family.tasks(_config(model), own), normalise or getattr(model.family, "NORMALISE", None)


def _assets(model: Model) -> Assets:
    if model.path is None:
        return assets.of(model.entry) if model.entry is not None else Assets()
    # Weights of the user's own are taken to be trained as the variant's first published ones were.
    published = next(iter(manifest.entries_of(model.variant)), None)
    own = assets.beside(model.path)
    theirs = assets.of(published, words=own.vocabulary is None) if published is not None else Assets()
    return replace(theirs, vocabulary=own.vocabulary or theirs.vocabulary, missing=own.missing)


def config_of(model: Model) -> Any:
    """The variant's config, at the sizes that the weights were trained at."""
    config, entry = _config(model), model.entry
    size = entry.preprocessing.get("size") if entry is not None else None
    if size is None or None in config.input_shape[:2]:
        return config
    return replace(config, input_shape=(*size, config.input_shape[2]))


def _config(model: Model) -> Any:
    """At the variant's picture size."""
    return replace(model.described.config, **(model.entry.sizes if model.entry is not None else {}))


def require_weights(model: Model) -> None:
    """Raises a UsageError for a model without weights; random ones are never taken in their place."""
    if model.entry is None and model.path is None:
        raise UsageError(
            f"{model.name} has no pretrained weights, and random ones answer nothing.\n"
            f"Give a file of your own as {model.variant}:path/to/weights, or build it in Python with weights=None."
        )


def build(name: str | Model, progress: Callable[..., Any] | None = None) -> Built:
    """Builds the Keras model and restores its weights.

    Raises:
        UnknownModel, WeightsUnavailable, WeightsDamaged: See the message.
        UsageError: The model has no weights; random ones are never taken in their place.
    """
    from kerazoo import weights

    model = find(name) if isinstance(name, str) else name
    require_weights(model)
    # First the files: a task may want some of those that come with the weights.
    word = model.entry.weights if model.entry is not None else str(model.path)
    source = weights.resolve(model.variant, word, progress=progress)
    several, normalise = tasks_of(model)
    config = config_of(model)
    keras_model = model.family.build(config)
    weights.load(keras_model, config, getattr(model.family, "SOURCES", {}), source)
    stated = {"variant": model.variant, **dataclasses.asdict(config)}
    return Built(model.name, keras_model, several, normalise, source.sha256, stated)


def file_sha256(path: Path) -> str:
    """Of a file of any size.

    Raises:
        UsageError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from None


def rows(pattern: str = "*", task: str | None = None) -> list[dict[str, Any]]:
    """One row a model, for `kerazoo models`: names sorted within their family.

    Args:
        pattern: A glob, or a part of the name.
        task: Only models that do this, by default or among others.
    """
    out = []
    for variant, (module, described) in variants().items():
        entries: list[manifest.Entry | None] = [*manifest.entries_of(variant)]
        for entry in entries or [None]:
            name = f"{variant}:{entry.weights}" if entry else variant
            if fnmatch.fnmatch(name, pattern) or pattern in name:
                row = _row(name, described, entry, module)
                out += [row] if task is None or task in row["tasks"] else []
    return out


def _kinds(name: str, described: Variant, module: Any) -> list[str]:
    if hasattr(module, "kinds"):  # Its tasks want a file, which is not fetched for a table.
        return list(module.kinds(described.config))
    try:
        return list(tasks_of(find(name))[0])
    except UsageError:  # Without its weights it lacks what the task is made of, such as a vocabulary.
        return [described.task]


def _row(name: str, described: Variant, entry: manifest.Entry | None, module: Any) -> dict[str, Any]:
    size = entry.preprocessing["size"] if entry and entry.preprocessing else None
    return {
        "name": name,
        "task": described.task,
        "tasks": _kinds(name, described, module),
        "params": described.params,
        "input": [*size, described.input[-1]] if size else list(described.input),
        "weights": entry.weights if entry else None,
        "licence": entry.licence if entry else None,
        "metrics": [dict(metric) for metric in entry.published] if entry else [],
        "measured": [dict(metric) for metric in entry.measured] if entry else [],
    }

"""Promises 8 and 9: versions, policies, hot load, retries, labels, reload. Loads are instant here."""

import os
import threading
import time
from dataclasses import replace

import pytest

from kerazoo.serve.metrics import Metrics
from kerazoo.serve.models import folders
from kerazoo.serve.models.catalogue import Models, Watch
from kerazoo.serve.models.loading import Loading, loader
from kerazoo.serve.models.servable import Servable, Spec
from kerazoo.serve.models.versions import Retries
from kerazoo.serve.wire import protos
from kerazoo.serve.wire.status import Status, invalid

FAST = Watch(poll_seconds=0.02, retries=Retries(0, 0.05))


class Shelf:
    """Version folders on disk, and a loader that notes what it was asked and fails where it was told to."""

    def __init__(self, base):
        self.base, self.loaded, self.closed, self.bad = base, [], [], {}

    def put(self, name, *versions):
        for version in versions:
            (self.base / name / str(version)).mkdir(parents=True)
        return self.config(name)

    def config(self, name, labels=(), **policy):
        config = protos.api("ModelConfig")(
            name=name, base_path=str(self.base / name), model_platform="tensorflow", version_labels=dict(labels)
        )
        if "specific" in policy:
            config.model_version_policy.specific.versions.extend(policy["specific"])
        elif "latest" in policy:
            config.model_version_policy.latest.num_versions = policy["latest"]
        elif "all" in policy:
            config.model_version_policy.all.SetInParent()
        return config

    def load(self, name, version, folder):
        self.loaded.append((name, version))
        if (name, version) in self.bad:
            raise self.bad[name, version]
        return Servable({}, lambda *_: {}, lambda: self.closed.append((name, version)), "fake")


@pytest.fixture
def shelf(tmp_path):
    return Shelf(tmp_path)


@pytest.fixture
def start(shelf):
    """Starts models over the shelf, which are closed at the end."""
    started = []

    def start(*configs, watch=FAST, deadline=5):
        models = Models(lambda *asked: shelf.load(*asked), watch)
        started.append(models)
        models.watch_folders()
        models.configure(configs, time.monotonic() + deadline)
        return models

    yield start
    for models in started:
        models.close()


def until(condition, seconds=5):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)


def version_of(models, *spec, **more):
    with models.hold(Spec(*spec, **more)) as handle:
        return handle.version


def states(models, name):
    return [(number, state) for number, state, _ in models.states(name)]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [({}, [10]), ({"latest": 2}, [3, 10]), ({"all": True}, [1, 3, 10]), ({"specific": [1, 99]}, [1])],
)
def test_8_2_policies(shelf, start, policy, expected):
    shelf.put("m", 1, 3, 10)
    models = start(shelf.config("m", **policy))
    until(lambda: sorted(v for _, v in shelf.loaded) == expected)
    until(models.models["m"].settled)
    assert version_of(models, "m") == expected[-1]


def test_8_1_names_of_version_folders(shelf, start):
    shelf.put("m", "00000123", "7a", "-4", ".9", "x", "2")
    (shelf.base / "m" / "500").write_text("a file is no version")
    models = start(shelf.config("m", all=True))
    until(lambda: states(models, "m") == [(123, "AVAILABLE"), (2, "AVAILABLE")])


def test_8_1_one_number_in_two_folders(shelf, start, caplog):
    models = start(shelf.put("m", "5", "05"))
    assert states(models, "m") == [(5, "AVAILABLE")]
    assert "stands twice" in caplog.text


def test_8_3_8_4_8_5_hot_load_keeps_answering(shelf, start):
    models = start(shelf.put("m", 1))
    failures, served, done = [], set(), threading.Event()

    def ask():
        while not done.is_set():
            try:
                served.add(version_of(models, "m"))
            except Status as error:
                failures.append(error)

    askers = [threading.Thread(target=ask) for _ in range(4)]
    for asker in askers:
        asker.start()
    for version in (2, 3, 4):
        shelf.put("m", version)
        until(lambda version=version: states(models, "m")[0] == (version, "AVAILABLE"))
    until(lambda: shelf.closed == [("m", 1), ("m", 2), ("m", 3)])
    done.set()
    for asker in askers:
        asker.join()
    assert not failures
    assert served == {1, 2, 3, 4}
    until(lambda: states(models, "m") == [(4, "AVAILABLE"), (3, "END"), (2, "END"), (1, "END")])
    with pytest.raises(Status, match=r"NOT_FOUND: Servable not found for request: Specific\(m, 1\)"):
        version_of(models, "m", 1)


def test_8_4_a_version_in_use_is_not_closed(shelf, start):
    models = start(shelf.put("m", 1))
    with models.hold(Spec("m")):
        shelf.put("m", 2)
        until(lambda: (1, "UNLOADING") in states(models, "m"))
        time.sleep(0.05)
        assert shelf.closed == []
        assert version_of(models, "m") == 2
    until(lambda: shelf.closed == [("m", 1)])


def test_8_6_8_7_a_bad_version_leaves_the_old_one(shelf, start):
    models = start(shelf.put("m", 1))
    shelf.bad["m", 2] = invalid("damaged")
    shelf.put("m", 2)
    until(lambda: (2, "END") in states(models, "m"))
    assert version_of(models, "m") == 1
    assert str(models.states("m", 2)[0][2]) == "INVALID_ARGUMENT: damaged"
    shelf.bad.clear()
    time.sleep(0.1)
    assert shelf.loaded.count(("m", 2)) == 1
    shelf.put("m", 3)
    until(lambda: states(models, "m") == [(3, "AVAILABLE"), (2, "END"), (1, "END")])


def test_8_6_8_14_retries(shelf, start):
    models = start(shelf.put("m", 1), watch=Watch(0.02, Retries(2, 0.05)))
    shelf.bad["m", 2] = invalid("still being copied")
    shelf.put("m", 2)
    until(lambda: ("m", 2) in shelf.loaded)
    assert (2, "LOADING") in states(models, "m")
    del shelf.bad["m", 2]
    until(lambda: version_of(models, "m") == 2)
    assert models.states("m", 2)[0][2] is None


def test_a_version_that_is_tried_again_does_not_hold_up_others(shelf, start):
    shelf.put("m", 1)
    models = start(shelf.config("m", all=True), watch=Watch(0.02, Retries(5, 60)))
    shelf.bad["m", 2] = invalid("bad")
    shelf.put("m", 2)
    until(lambda: ("m", 2) in shelf.loaded)
    shelf.put("m", 3)
    until(lambda: version_of(models, "m") == 3)


def test_8_9_a_start_that_fails(shelf, start):
    shelf.bad["m", 2] = Status("NOT_FOUND", "no graph")
    with pytest.raises(Status) as caught:
        start(shelf.put("m", 1, 2))
    assert caught.value.code == "UNKNOWN"
    assert "{{name: m version: 2} due to error: NOT_FOUND: no graph}, }" in caught.value.message


def test_8_10_a_start_waits_for_its_folder(shelf, start):
    threading.Timer(0.1, lambda: shelf.put("m", 1)).start()
    assert version_of(start(shelf.config("m")), "m") == 1


def test_8_11_folders_that_go(shelf, start):
    models = start(shelf.put("m", 1, 2))
    (shelf.base / "m" / "2").rmdir()
    until(lambda: states(models, "m") == [(2, "END"), (1, "AVAILABLE")])
    (shelf.base / "m" / "1").rmdir()
    until(lambda: states(models, "m") == [(2, "END"), (1, "END")])
    with pytest.raises(Status, match=r"Servable not found for request: Latest\(m\)"):
        version_of(models, "m")


def test_8_11_8_12_a_base_folder_that_goes_costs_nobody(shelf, start):
    models = start(shelf.put("m", 1), shelf.put("n", 1))
    (shelf.base / "m").rename(shelf.base / "away")
    shelf.put("n", 2)
    until(lambda: version_of(models, "n") == 2)
    assert version_of(models, "m") == 1


@pytest.mark.parametrize(("seconds", "seen"), [(0, False), (-1, False)])
def test_8_3_no_polling(shelf, start, seconds, seen):
    config = shelf.put("m", 1)
    if seconds < 0:
        with pytest.raises(Status, match="DEADLINE_EXCEEDED"):
            start(config, watch=Watch(seconds), deadline=0.2)
        return
    models = start(config, watch=Watch(seconds))
    shelf.put("m", 2)
    time.sleep(0.1)
    assert version_of(models, "m") == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"base_path": "relative/m"}, "Expected model m to have an absolute path or URI; got base_path()=relative/m"),
        ({"model_platform": ""}, "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "),
        ({"model_type": 1}, "Illegal setting both ModelServerConfig::model_type (deprecated) and "),
        ({"model_platform": "torch"}, "Model m requests unsupported platform torch"),
    ],
)
def test_8_13_9_6_refused(shelf, changes, message):
    config = shelf.put("m", 1)
    for field, value in changes.items():
        setattr(config, field, value)
    with pytest.raises(Status) as caught:
        Models(shelf.load, FAST).configure([config])
    assert (caught.value.code, caught.value.message[: len(message)]) == ("INVALID_ARGUMENT", message)
    assert shelf.loaded == []


def test_9_6_twice_the_same_and_another_platform(shelf, start):
    config = shelf.put("m", 1)
    models = start(config)
    with pytest.raises(Status, match="Illegal to list model m multiple times in config list"):
        models.configure([config, config])
    other = shelf.config("m")
    other.model_platform = "torch"
    with pytest.raises(Status, match="Illegal to change a model's platform. For model m from tensorflow to torch"):
        models.configure([other])
    old = shelf.config("m")
    old.model_platform, old.model_type = "", 1
    models.configure([old])
    assert version_of(models, "m") == 1


def test_9_2_9_7_9_8_a_new_config_replaces_the_old(shelf, start):
    models = start(shelf.put("m", 1))
    models.configure([shelf.put("n", 4)], time.monotonic() + 5)
    assert version_of(models, "n") == 4
    until(lambda: shelf.closed == [("m", 1)])
    until(lambda: states(models, "m") == [(1, "END")])
    models.configure([])
    until(lambda: shelf.closed == [("m", 1), ("n", 4)])
    models.configure([shelf.config("m")], time.monotonic() + 5)
    assert version_of(models, "m") == 1


def test_9_4_a_new_model_that_fails(shelf, start):
    models = start(shelf.put("m", 1))
    shelf.bad["n", 1] = invalid("bad")
    with pytest.raises(Status) as caught:
        models.configure([shelf.config("m"), shelf.put("n", 1)], time.monotonic() + 5)
    assert caught.value.message == (
        "1 model(s) did not become available: {{{name: n version: 1} due to error: INVALID_ARGUMENT: bad}, }"
    )
    assert version_of(models, "m") == 1


def test_9_8_another_base_path(shelf, start):
    models = start(shelf.put("m", 1))
    config = shelf.put("elsewhere", 9)
    config.name = "m"
    models.configure([config])
    until(lambda: states(models, "m") == [(9, "AVAILABLE"), (1, "END")])


def test_9_9_9_10_labels(shelf, start):
    shelf.put("m", 1, 2)
    with pytest.raises(Status, match="FAILED_PRECONDITION: Request to assign label to version 1 of model m, which is"):
        start(shelf.config("m", labels={"stable": 1}, all=True))
    models = start(shelf.config("m", all=True))
    until(models.models["m"].settled)
    models.configure([shelf.config("m", labels={"stable": 1, "canary": 2}, all=True)])
    assert (version_of(models, "m", label="stable"), version_of(models, "m", label="canary")) == (1, 2)
    models.configure([shelf.config("m", labels={"stable": 2}, all=True)])
    assert version_of(models, "m", label="stable") == 2
    with pytest.raises(Status, match="INVALID_ARGUMENT: Unrecognized servable version label: canary"):
        version_of(models, "m", label="canary")


def test_9_9_labels_ahead(shelf, start):
    shelf.put("m", 1)
    watch = Watch(0.02, Retries(0), labels_ahead=True)
    models = start(shelf.config("m", labels={"next": 2}), watch=watch)
    with pytest.raises(Status, match=r"Specific\(m, 2\)"):
        version_of(models, "m", label="next")
    with pytest.raises(Status, match="FAILED_PRECONDITION"):
        models.configure([shelf.config("m", labels={"next": 3})])
    shelf.put("m", 2)
    until(lambda: models.models["m"].ready(2))
    assert version_of(models, "m", label="next") == 2


def test_6_3_status_of_what_never_was(shelf, start):
    models = start(shelf.put("m", 1))
    with pytest.raises(Status, match="NOT_FOUND: Could not find any versions of model n"):
        models.states("n")
    with pytest.raises(Status, match="NOT_FOUND: Could not find version 7 of model m"):
        models.states("m", 7)


def test_8_15_one_models_slow_load_does_not_hold_up_another(shelf):
    gate, quick = threading.Event(), shelf.load

    def load(name, version, folder):
        if name == "slow":
            gate.wait(5)
        return quick(name, version, folder)

    models = Models(load, FAST)
    try:
        with pytest.raises(Status, match="DEADLINE_EXCEEDED"):
            models.configure([shelf.put("slow", 1), shelf.put("m", 1)], time.monotonic() + 0.2)
        assert version_of(models, "m") == 1
        assert not models.ready()
        gate.set()
        until(models.ready)
    finally:
        gate.set()
        models.close()
    until(lambda: sorted(shelf.closed) == [("m", 1), ("slow", 1)])


# --- folders that change ------------------------------------------------------------------------------------------


def touched(folder, text="more"):
    (folder / "file").write_text(text)


def test_a_failed_version_is_tried_again_when_its_folder_has_changed(shelf, start):
    """As after a copy that outlasted all tries, or one that was half there at the first."""
    models = start(shelf.put("m", 1), watch=Watch(0.02, Retries(0)))
    shelf.bad["m", 2] = invalid("half copied")
    shelf.put("m", 2)
    until(lambda: (2, "END") in states(models, "m"))
    time.sleep(0.1)
    assert shelf.loaded.count(("m", 2)) == 1
    touched(shelf.base / "m" / "2")
    until(lambda: shelf.loaded.count(("m", 2)) == 2)
    shelf.bad.clear()
    touched(shelf.base / "m" / "2", "all of it")
    until(lambda: version_of(models, "m") == 2)


def test_a_change_ends_the_pause_between_two_tries(shelf, start):
    models = start(shelf.put("m", 1), watch=Watch(0.02, Retries(5, 600)))
    shelf.bad["m", 2] = invalid("half copied")
    shelf.put("m", 2)
    until(lambda: ("m", 2) in shelf.loaded)
    shelf.bad.clear()
    touched(shelf.base / "m" / "2")
    until(lambda: version_of(models, "m") == 2)


def test_what_does_not_come_by_waiting_is_not_tried_again(shelf, start):
    shelf.bad["m", 1] = Status("PERMISSION_DENIED", "a stranger's")
    with pytest.raises(Status, match="PERMISSION_DENIED: a stranger's"):
        start(shelf.put("m", 1), watch=Watch(0.02, Retries(5, 600)))
    assert shelf.loaded == [("m", 1)]


def test_a_version_whose_card_comes_late_is_loaded_once_more(shelf, start, monkeypatch):
    """The new one comes before the old one goes, and what fails to load costs nothing."""
    first = shelf.put("m", 1)
    card, load = shelf.base / "m" / "1" / "card.json", shelf.load
    monkeypatch.setattr(shelf, "load", lambda *asked: replace(load(*asked), engine=kind(), outdated=outdated()))

    def kind():
        return "bundle" if card.exists() else "plain"

    def outdated():
        return (lambda: False) if card.exists() else card.exists

    def engine(models):
        with models.hold(Spec("m")) as handle:
            return handle.servable.engine

    models = start(first)
    assert engine(models) == "plain"
    shelf.bad["m", 1] = invalid("not all of it is there")
    card.write_text("{")
    until(lambda: shelf.loaded.count(("m", 1)) == 2)
    time.sleep(0.1)
    assert (engine(models), shelf.loaded.count(("m", 1))) == ("plain", 2)
    assert states(models, "m") == [(1, "AVAILABLE")]
    shelf.bad.clear()
    touched(card.parent)
    until(lambda: engine(models) == "bundle")
    until(lambda: shelf.closed == [("m", 1)])
    assert states(models, "m") == [(1, "AVAILABLE")]


def test_versions_beyond_the_wires_integers_are_ignored(shelf, start):
    models = start(shelf.put("m", 7, (1 << 63), 99999999999999999999))
    assert states(models, "m") == [(7, "AVAILABLE")]
    shelf.put("m", (1 << 63) - 1)
    until(lambda: version_of(models, "m") == (1 << 63) - 1)


def test_a_pipe_in_a_version_folder_is_refused(tmp_path):
    (tmp_path / "variables").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "round").symlink_to(tmp_path)
    folders.check(tmp_path)
    os.mkfifo(tmp_path / "variables" / "pipe")
    with pytest.raises(Status, match="FAILED_PRECONDITION.*pipe is neither a file nor a folder"):
        folders.check(tmp_path)
    with pytest.raises(Status, match="pipe"):
        loader(Loading(), Metrics())("m", 1, tmp_path)

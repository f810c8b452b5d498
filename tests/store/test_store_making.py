import os
import signal
import subprocess
import sys
import threading

import pytest

from kerazoo import store
from kerazoo.errors import KerazooError

MAKER = """
import sys, time
from pathlib import Path
from kerazoo import store
with store.making(Path(sys.argv[1])) as folder:
    (folder / "model.onnx").write_bytes(b"x" * 1000)
    print(folder, flush=True)
    time.sleep(60)
"""


def test_what_is_made_can_be_moved_out_and_nothing_else_stays(tmp_path):
    folder = tmp_path / "artefacts" / "net"
    with store.making(folder) as made:
        assert made.parent == folder
        assert made.name.startswith(".making-")
        (made / "rest.txt").write_text("rest")
        (made / "model.onnx").write_text("model")
        (made / "model.onnx").rename(folder / "model.onnx")
    assert [path.name for path in folder.iterdir() if path.suffix != ".lock"] == ["model.onnx"]
    with pytest.raises(ZeroDivisionError), store.making(folder) as made:
        raise ZeroDivisionError
    assert not made.exists()


def test_what_a_killed_process_left_is_swept_and_what_a_live_one_makes_is_not(tmp_path):
    command = [sys.executable, "-c", MAKER, str(tmp_path)]
    dead, live = (subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2))
    try:
        left, made = (process.stdout.readline().strip() for process in (dead, live))
        assert store.sweep(tmp_path) == 0
        dead.send_signal(signal.SIGKILL)
        dead.wait()
        assert os.path.exists(left)
        assert store.sweep(tmp_path) == 1000
        assert not os.path.exists(left)
        assert os.path.exists(f"{made}/model.onnx")
    finally:
        for process in (dead, live):
            process.kill()
            process.communicate()


def test_sweeping_touches_nothing_else(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "mine").write_text("mine")
    folder = tmp_path / "folder"
    assert store.sweep(folder) == 0
    assert not folder.exists()
    folder.mkdir()
    (folder / ".making-file").write_text("a file")
    (folder / ".making-link").symlink_to(tmp_path / "outside")
    (folder / "model.onnx").write_text("model")
    (old := folder / ".making-old" / "deep").mkdir(parents=True)
    (old / "x").write_bytes(b"123")
    (old / "link").symlink_to(tmp_path / "outside")
    assert store.sweep(folder) >= 3
    assert sorted(path.name for path in folder.iterdir() if path.suffix != ".lock") == [
        ".making-file", ".making-link", "model.onnx",
    ]  # fmt: skip
    assert (tmp_path / "outside" / "mine").read_text() == "mine"


def test_many_make_and_sweep_at_once(tmp_path):
    faults = []

    def work(number: int) -> None:
        for _ in range(15):
            with store.making(tmp_path) as made:
                (made / "x").write_text(str(number))
                store.sweep(tmp_path)
                if (made / "x").read_text() != str(number):
                    faults.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".lock"] == []


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(KerazooError, match="KERAZOO_HOME"), store.making(tmp_path / "file" / "x"):
        pass


@pytest.mark.parametrize("artefacts", [True, False])
def test_prune_sweeps_and_leaves_a_making_that_is_going_on(known, artefacts):
    known()
    idle, busy = store.artefacts("idle:data"), store.artefacts("busy:data")
    for folder in (idle, busy):
        (folder / ".making-old").mkdir(parents=True)
        (folder / ".making-old" / "x").write_bytes(b"123")
        (folder / "model.onnx").write_bytes(b"12345")
    with store.making(busy) as made:
        (made / "x").write_bytes(b"1")
        assert store.prune(artefacts=artefacts) == 3 + 3 + 5 * artefacts
        assert (made / "x").exists()
        assert (busy / "model.onnx").exists()
    assert (idle / "model.onnx").exists() is not artefacts
    assert not list(busy.parent.rglob(".making-old"))

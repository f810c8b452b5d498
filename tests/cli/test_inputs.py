"""What can be typed: several ports, lists, names of any bytes, streams without end, servers that are none."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from kerazoo import codecs, loading
from kerazoo.codecs import _files
from kerazoo.contract import Port, Tensors
from kerazoo.predictor import Predictor
from tests.cli.conftest import INTERRUPTIBLE, MODEL, SEVEN, Done


@dataclass(frozen=True)
class Said:
    """A result with a sentence and two files."""

    text: str
    seed: int

    def to_json(self, limit: int = 5) -> dict[str, Any]:
        return {"text": self.text, "mask": base64.b64encode(b"mask").decode()}

    def rows(self, limit: int = 5) -> list[str]:
        return [self.text]

    def files(self) -> dict[str, bytes]:
        return {"text.txt": self.text.encode(), "mask.png": b"mask"}


@dataclass(frozen=True)
class Asking:
    """A picture, a question and a seed in; what was asked out."""

    kind: ClassVar[str] = "ask"
    batched: ClassVar[bool] = True
    request: tuple[Port, ...] = (
        Port("image_bytes", "string", (None,), "image"),
        Port("question", "string", (None,), "text"),
        Port("seed", "int64", (None,), "seed"),
    )

    def read(self, response: Tensors, row: int) -> Said:
        picture, question, seed = (response[port.name][row] for port in self.request)
        return Said(f"{len(picture)} {question.decode()} {seed}", int(seed))


@pytest.fixture
def asking(monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = Predictor("asking", Asking(), "onnx", lambda request: request)  # type: ignore[arg-type]
    monkeypatch.setattr(loading, "load", lambda model, engine, **_: predictor)


def ask(kerazoo: Any, *arguments: Any) -> Done:
    return kerazoo("predict", *arguments, "-m", "asking")


SIZE = SEVEN.stat().st_size


# --- several ports ------------------------------------------------------------------------------------------------


def test_ports_beside_the_input(kerazoo: Any, asking: None) -> None:
    done = ask(kerazoo, SEVEN, SEVEN, "--port", "question=Is it = 7?", "--port", "seed=3", "--json")
    assert done.status == 0, done.err
    assert [row["text"] for row in done.rows] == [f"{SIZE} Is it = 7? 3"] * 2
    assert done.rows[0]["input"] == str(SEVEN)


def test_every_seed_for_every_input(kerazoo: Any, asking: None) -> None:
    done = ask(kerazoo, SEVEN, SEVEN, "--port", "question=what", "--seed", "1", "--seed", "2", "--json")
    assert [row["text"][-1] for row in done.rows] == list("1212")
    assert done.rows[1]["input"] == f"{SEVEN}, seed 2"


def test_ports_alone(kerazoo: Any, asking: None) -> None:
    done = ask(kerazoo, "--port", f"image_bytes={SEVEN}", "--port", "question=what", "--port", "seed=5", "--json")
    assert done.rows[0]["text"] == f"{SIZE} what 5"


def test_a_value_that_cannot_be_read_is_a_row(kerazoo: Any, asking: None) -> None:
    done = ask(kerazoo, SEVEN, "--port", "question=what", "--port", "seed=many", "--json")
    assert done.status == 3
    assert "seed" in done.rows[0]["error"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((SEVEN, "--port", "qestion=what", "--seed", "1"), "Did you mean question"),
        ((SEVEN, "--port", "question", "--seed", "1"), "NAME=VALUE"),
        ((SEVEN, "--port", "question=a", "--port", "question=b", "--seed", "1"), "twice"),
        ((SEVEN, "--port", "seed=2", "--port", "question=a", "--seed", "1"), "filled twice"),
        ((SEVEN, "--port", f"image_bytes={SEVEN}", "--port", "question=a", "--seed", "1"), "filled twice"),
        ((SEVEN, "--seed", "1"), "question lack a value: give --port question=VALUE"),
        (("--port", "question=a", "--seed", "1"), "give INPUT"),
    ],
)
def test_ports_that_do_not_fit(kerazoo: Any, asking: None, arguments: Any, words: str) -> None:
    done = ask(kerazoo, *arguments)
    assert (done.status, done.out) == (2, "")
    assert words in done.err
    assert len(done.err.splitlines()) <= 4


def test_a_kind_that_the_model_does_not_do(kerazoo: Any) -> None:
    assert kerazoo("predict", SEVEN, "-m", MODEL, "--task", "classify").status == 0
    done = kerazoo("predict", SEVEN, "-m", MODEL, "--task", "clasify")
    assert done.status == 2
    assert "Did you mean classify" in done.err
    assert kerazoo("predict", SEVEN, "-m", MODEL, "--task", "classify", "--server", "http://localhost:1").status == 2


# --- files of answers ---------------------------------------------------------------------------------------------


def test_every_file_of_an_answer_is_written(kerazoo: Any, asking: None, tmp_path: Path) -> None:
    folders = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "seven.png").write_bytes(SEVEN.read_bytes())
        folders.append(tmp_path / folder)
    out = tmp_path / "out"
    done = ask(kerazoo, *folders, "--port", "question=a/b", "--seed", "1", "-o", out, "--json")
    assert done.status == 0, done.err
    names = ["seven-text.txt", "seven-mask.png", "seven-text-2.txt", "seven-mask-2.png"]
    assert sorted(path.name for path in out.iterdir()) == sorted(names)
    assert (out / "seven-mask-2.png").read_bytes() == b"mask"
    assert [list(row["files"].values()) for row in done.rows] == [
        [str(out / name) for name in names[at : at + 2]] for at in (0, 2)
    ]
    assert "mask" not in done.rows[0]
    assert done.rows[0]["text"] == f"{SIZE} a/b 1"
    alone = ask(kerazoo, SEVEN, "--port", "question=x", "--seed", "1", "-o", tmp_path / "one.png")
    assert {path.name for path in tmp_path.glob("one*")} == {"one-text.txt", "one-mask.png"}
    assert str(tmp_path / "one-mask.png") in alone.out


def test_no_input_is_overwritten(kerazoo: Any, asking: None, tmp_path: Path) -> None:
    for name in ("a.jpg", "a-mask.png", "b.png"):
        (tmp_path / name).write_bytes(SEVEN.read_bytes())
    rest = ("--port", "question=x", "--seed", "1")
    assert ask(kerazoo, tmp_path, *rest, "-o", tmp_path).status == 0
    assert (tmp_path / "a-mask.png").read_bytes() == SEVEN.read_bytes()
    assert (tmp_path / "a-mask-2.png").read_bytes() == b"mask"
    assert ask(kerazoo, tmp_path / "b.png", *rest, "-o", tmp_path / "out").status == 0
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_hint_where_an_answer_holds_more_than_its_rows(kerazoo: Any, asking: None) -> None:
    done = ask(kerazoo, SEVEN, "--port", "question=x", "--seed", "1")
    assert done.out == f"{SIZE} x 1\n"
    assert done.err == "(mask.png: -o PATH writes it)\n"


# --- names --------------------------------------------------------------------------------------------------------


def test_names_that_steer_a_terminal_or_forge_rows(kerazoo: Any, tmp_path: Path) -> None:
    name = "\x1b[2J\n 99.99%  8.png"
    (tmp_path / name).write_bytes(SEVEN.read_bytes())
    (tmp_path / "\x1b]0;broken\r.png").write_bytes(b"broken")
    (tmp_path / "plain.png").write_bytes(SEVEN.read_bytes())
    done = kerazoo("predict", tmp_path, "-m", MODEL, "--top", "1")
    assert done.status == 3
    assert not any(letter in done.out + done.err for letter in ("\x1b", "\r"))
    assert len(done.out.splitlines()) == 4
    assert len(done.err.splitlines()) == 1
    missing = kerazoo("predict", f"{tmp_path}/\x1b[31mgone\n.png", "-m", MODEL)
    assert len(missing.err.splitlines()) == 1
    assert "\x1b" not in missing.err
    assert "\x1b" not in kerazoo("predict", "--\x1b[31m").err


def test_labels_that_steer_a_terminal(kerazoo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True)
    class Forged(Asking):
        request: tuple[Port, ...] = (Port("image_bytes", "string", (None,), "image"),)

        def read(self, response: Tensors, row: int) -> Said:
            return Said("\x1b[31mred\n 99%  cat", 1)

    predictor = Predictor("x", Forged(), "remote", lambda request: request)  # type: ignore[arg-type]
    monkeypatch.setattr(loading, "load", lambda model, engine, **_: predictor)
    done = ask(kerazoo, SEVEN)
    assert done.out == "\\x1b[31mred\\n 99%  cat\n"


@pytest.mark.parametrize("way", ["argument", "folder", "list"])
def test_names_that_are_not_utf8(prepared: Path, tmp_path: Path, way: str) -> None:
    name = os.fsencode(tmp_path) + b"/b\xff\xe9.png"
    Path(os.fsdecode(name)).write_bytes(SEVEN.read_bytes())
    (tmp_path / "list.txt").write_bytes(name + b"\r\n" + os.fsencode(SEVEN) + b"\n")
    given = {"argument": [name, SEVEN], "folder": [tmp_path, SEVEN], "list": [f"@{tmp_path}/list.txt"]}[way]
    for encoding in ("utf-8", "ascii"):
        environment = {**os.environ, "KERAZOO_HOME": str(prepared), "PYTHONIOENCODING": encoding}
        command = [sys.executable, "-m", "kerazoo", "predict", *given, "-m", MODEL]
        done = subprocess.run([*command, "--json"], capture_output=True, env=environment)
        assert done.returncode == 0, done.stderr
        rows = [json.loads(line) for line in done.stdout.decode(encoding).splitlines()]
        assert [Path(row["input"]).name for row in rows] == ["b\\xff\\xe9.png", "seven.png"]
        plain = subprocess.run(command, capture_output=True, env=environment)
        assert plain.returncode == 0, plain.stderr
        assert plain.stdout.count(b"%") == 10


# --- lists --------------------------------------------------------------------------------------------------------


def test_lists_within_lists_and_one_that_names_itself(kerazoo: Any, tmp_path: Path) -> None:
    (tmp_path / "outer.txt").write_text(f"@{tmp_path}/inner.txt\n@{tmp_path}/gone.txt\n\n{SEVEN}\n")
    (tmp_path / "inner.txt").write_text(f"\ufeff{SEVEN}\n@{tmp_path}/outer.txt\n", encoding="utf-8")
    done = kerazoo("predict", f"@{tmp_path}/outer.txt", "-m", MODEL, "--json")
    assert done.status == 3
    assert ["error" in row for row in done.rows] == [False, True, True, False]
    assert "names itself" in done.rows[1]["error"]
    assert "No such file" in done.rows[2]["error"]


def test_a_link_to_its_own_folder_is_followed_once(kerazoo: Any, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "x.png").write_bytes(SEVEN.read_bytes())
    for name in ("one", "two"):
        (tmp_path / "deep" / name).symlink_to(tmp_path)
    assert len(kerazoo("predict", tmp_path, "-m", MODEL, "--json", "--recursive").rows) == 1


def test_a_folder_that_may_not_be_listed_is_a_row(
    kerazoo: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listdir = os.listdir

    def refuse(path: Any) -> list[str]:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", path)
        return listdir(path)

    monkeypatch.setattr(os, "listdir", refuse)
    (tmp_path / "closed").mkdir()
    (tmp_path / "x.png").write_bytes(SEVEN.read_bytes())
    done = kerazoo("predict", tmp_path, "-m", MODEL, "--json", "--recursive")
    assert done.status == 3
    assert ["error" in row for row in done.rows] == [True, False]


# --- streams ------------------------------------------------------------------------------------------------------


def test_standard_input_is_bounded_as_files_are(kerazoo: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(_files, "MAX_BYTES", 1000)
    (tmp_path / "large").write_bytes(b"x" * 5000)
    with (tmp_path / "large").open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        done = kerazoo("predict", "-", "-m", MODEL, "--json")
        assert stdin.buffer.tell() < 5000
    assert done.status == 3
    assert "is larger than" in done.rows[0]["error"]


@pytest.fixture
def peer() -> Any:
    """A server that sends these pieces to whoever comes, half a second apart, and its address."""
    stop = threading.Event()
    servers = []

    def start(pieces: Any) -> str:
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)

        def serve() -> None:
            try:
                connection, _ = server.accept()
                with connection:
                    connection.recv(1000)
                    for piece in pieces:
                        connection.sendall(piece)
                        if stop.wait(0.2):
                            return
            except OSError:
                pass

        threading.Thread(target=serve, daemon=True).start()
        return f"http://127.0.0.1:{server.getsockname()[1]}/x.png"

    yield start
    stop.set()
    for server in servers:
        server.close()


def test_addresses_that_are_no_servers_or_drip_are_a_row_each(
    kerazoo: Any, peer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KERAZOO_OFFLINE")
    monkeypatch.setattr(_files, "SECONDS", 1.0)
    drip = [b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", *[b"x"] * 500]
    urls = [peer([b"220 mail here\r\n"]), peer(drip), "http://", "http://[::1"]
    start = time.monotonic()
    done = kerazoo("predict", *urls, SEVEN, "-m", MODEL, "--json")
    assert time.monotonic() - start < 60
    assert done.status == 3
    assert ["error" in row for row in done.rows] == [True, True, True, True, False]


def test_addresses_in_python(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAZOO_OFFLINE", "1")
    with pytest.raises(ValueError, match="KERAZOO_OFFLINE"):
        codecs.of(Port("x", "string", (None,), "image")).read("https://example.org/x.png", Asking().request[0])


# --- the terminal -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["models"], ["models", "--json"], ["--help"], ["predict", "--help"],
                                       ["info", MODEL], ["cache", "--help"]], ids=" ".join)  # fmt: skip
def test_the_reader_of_any_command_may_go_away(arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([sys.executable, "-m", "kerazoo", *arguments], stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


def test_stderr_may_go_away_too() -> None:
    shell = f"set -o pipefail; {sys.executable} -m kerazoo predict gone.png -m {MODEL}x 2>&1 | true"
    assert subprocess.run(["bash", "-c", shell], capture_output=True).stderr == b""


def test_interrupted(prepared: Path, tmp_path: Path) -> None:
    for index in range(4000):
        os.link(SEVEN, tmp_path / f"{index}.png") if index else (tmp_path / "0.png").write_bytes(SEVEN.read_bytes())
    process = subprocess.Popen(
        [*INTERRUPTIBLE, "predict", str(tmp_path), "-m", MODEL, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "KERAZOO_HOME": str(prepared)},
        start_new_session=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, b"interrupted\n")


def on_a_terminal(command: list[str], environment: dict[str, str], stdout: Any) -> str:
    """What a command draws on stderr where that is a terminal of 80 columns."""
    pty = pytest.importorskip("pty")
    master, slave = pty.openpty()
    process = subprocess.Popen(command, stdout=stdout, stderr=slave, env={**environment, "COLUMNS": "80"})
    os.close(slave)
    drawn = b""
    while True:
        try:
            drawn += os.read(master, 65536)
        except OSError:
            break
    process.wait(timeout=60)
    os.close(master)
    assert process.returncode == 0
    return drawn.decode()


def test_a_bar_where_the_answers_go_to_a_file(prepared: Path, tmp_path: Path) -> None:
    for index in range(3):
        (tmp_path / f"{index}.png").write_bytes(SEVEN.read_bytes())
    environment = {**os.environ, "KERAZOO_HOME": str(prepared), "TERM": "xterm"}
    command = [sys.executable, "-m", "kerazoo", "predict", str(tmp_path), "-m", MODEL, "--json"]
    with (tmp_path / "out.jsonl").open("w") as out:
        drawn = on_a_terminal(command, environment, out)
    assert "answered" in drawn
    assert "3/?" in drawn
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 3


def test_numbers_that_look_like_a_pattern(kerazoo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True)
    class Sum(Asking):
        request: tuple[Port, ...] = (Port("x", "float32", (None, 2)),)

        def read(self, response: Tensors, row: int) -> Said:
            return Said(str(np.sum(response["x"][row])), 1)

    predictor = Predictor("x", Sum(), "onnx", lambda request: request)  # type: ignore[arg-type]
    monkeypatch.setattr(loading, "load", lambda model, engine, **_: predictor)
    done = ask(kerazoo, "[1, 2]")
    assert done.out == "3.0\n"

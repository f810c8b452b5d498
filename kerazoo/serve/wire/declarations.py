"""Declarations of messages in protocol buffers' own language, as descriptors: what `protoc` makes, without it.

Of the language there is what the files beside this one need: messages and enumerations, one in the other, fields of
every plain type, `repeated`, `map` and `oneof`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto

_TOKENS = re.compile(r'"[^"]*"|[\w.]+|\S')
_PLAIN = {
    name.removeprefix("TYPE_").lower(): number
    for name, number in FieldDescriptorProto.Type.items()
    if name not in ("TYPE_MESSAGE", "TYPE_ENUM", "TYPE_GROUP")
}


def parse(text: str, name: str) -> FileDescriptorProto:
    """The descriptor of a file.

    Args:
        name: What other files import it by.
    """
    reader = _Reader(_TOKENS.findall(re.sub(r"//[^\n]*", "", text))[::-1])
    file = FileDescriptorProto(name=name)
    while reader.left:
        word = reader.take()
        if word == "syntax":
            reader.take("=")
            file.syntax = reader.take().strip('"')
        elif word == "package":
            file.package = reader.take()
        elif word == "import":
            file.dependency.append(reader.take().strip('"'))
        else:
            reader.declare(word, file.message_type, file.enum_type)
            continue
        reader.take(";")
    return file


@dataclass
class _Reader:
    """Takes words from the end of `left`."""

    left: list[str]

    def take(self, expected: str | None = None) -> str:
        word = self.left.pop() if self.left else ""
        if expected is not None and word != expected or not word:
            raise ValueError(f"{expected or 'a word'} was expected, not {word!r}")
        return word

    def has(self, word: str) -> bool:
        """Takes the word if it comes next."""
        return bool(self.left) and self.left[-1] == word and bool(self.left.pop())

    def declare(self, word: str, messages: Any, enums: Any) -> None:
        """Reads on after `message` or `enum`."""
        if word not in ("message", "enum"):
            raise ValueError(f"message or enum was expected, not {word!r}")
        made = (messages if word == "message" else enums).add(name=self.take())
        self.take("{")
        while not self.has("}"):
            if word == "message":
                self.member(made)
            else:
                value, _, number, _ = (self.take() for _ in range(4))
                made.value.add(name=value, number=int(number))

    def member(self, message: DescriptorProto) -> None:
        word = self.take()
        if word in ("message", "enum"):
            self.declare(word, message.nested_type, message.enum_type)
        elif word == "oneof":
            message.oneof_decl.add(name=self.take())
            self.take("{")
            while not self.has("}"):
                self.field(message, self.take()).oneof_index = len(message.oneof_decl) - 1
        elif word == "repeated":
            self.field(message, self.take()).label = FieldDescriptorProto.LABEL_REPEATED
        elif word == "map":
            self.map(message)
        else:
            self.field(message, word)

    def field(self, message: DescriptorProto, kind: str) -> FieldDescriptorProto:
        name, _, number, _ = (self.take() for _ in range(4))
        return _field(message, kind, name, int(number))

    def map(self, message: DescriptorProto) -> None:
        """On the wire a map is a list of pairs, each a message of its own."""
        _, key, _, value, _ = (self.take() for _ in range(5))
        field = self.field(message, "")
        pair = message.nested_type.add(name="".join(map(str.title, field.name.split("_"))) + "Entry")
        pair.options.map_entry = True
        _field(pair, key, "key", 1)
        _field(pair, value, "value", 2)
        field.label, field.type_name = FieldDescriptorProto.LABEL_REPEATED, pair.name


def _field(message: DescriptorProto, kind: str, name: str, number: int) -> FieldDescriptorProto:
    made = message.field.add(name=name, number=number, label=FieldDescriptorProto.LABEL_OPTIONAL)
    if kind in _PLAIN:
        made.type = _PLAIN[kind]
    elif kind:
        made.type_name = kind  # A message or an enumeration: whoever has the whole of the file finds out.
    return made

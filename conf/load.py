"""A file or a text -> the configuration of an agent. The only reader of files in this package."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from conf.agent import AgentConfig, Origins
from conf.check import conflicts
from conf.decode import Decoder
from conf.errors import ConfigErrors, Problem, Problems, TooManyProblemsError
from conf.source import MAX_BYTES, parse

_STDIN: Final = "<stdin>"


def load(text: str, origin: str) -> AgentConfig:
    """Read a configuration; *origin* names the text in messages. Raises ConfigErrors with all that is wrong."""
    document = parse(text, origin)
    problems = Problems(origin)
    decoder = Decoder(document, problems, AgentConfig)
    config = None
    try:
        config = decoder.read()
        for at, message in conflicts(decoder.sections, decoder.doubtful, decoder.positions):
            problems.add(decoder.position(at), at, message)
    except TooManyProblemsError:
        pass
    problems.raise_if_any()
    assert isinstance(config, AgentConfig)
    lines = {at: position.line for at, position in decoder.positions.items()}
    return replace(config, origins=Origins(origin, lines))


def read(path: str) -> AgentConfig:
    """Read a configuration file, `-` is the standard input. Raises ConfigErrors, also when it cannot be read."""
    return load(*read_text(path))


def read_text(path: str) -> tuple[str, str]:
    """Read a file, `-` is the standard input; return its text and how messages call it. Raises ConfigErrors."""
    origin = _STDIN if path == "-" else path
    try:
        data = _read_bytes(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigErrors([Problem(origin, None, None, "", f"cannot be read: {reason}")]) from None
    return _decode(data, origin), origin


def _read_bytes(path: str) -> bytes:
    """The file, or as much of it as shows that it is too big."""
    if path == "-":
        return sys.stdin.buffer.read(MAX_BYTES + 1)
    with Path(path).open("rb") as file:
        return file.read(MAX_BYTES + 1)


def _decode(data: bytes, origin: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start].decode().split("\n")
        message = f"not UTF-8: the byte 0x{data[error.start]:02x} ({error.reason})"
        raise ConfigErrors([Problem(origin, len(before), len(before[-1]) + 1, "", message)]) from None

"""Clients as the tests drive them: programs in their own languages that are told what to do, and command lines."""

from __future__ import annotations

import re
import subprocess
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

PATIENCE = 20.0
"""Seconds after which a client that should have answered is killed, and the test fails."""

DIGITS = b"0123456789"
"""What bodies of uploads repeat."""


@dataclass(frozen=True)
class Answer:
    """What a client made of a response. Status 0: it saw none, and the body is its complaint."""

    status: int
    via: str
    error: str
    """Proxy-Status."""
    body: bytes


class Client(ABC):
    """Something that sends requests and follows redirects."""

    @abstractmethod
    def ask(self, command: str, url: str, size: int = 0) -> list[Answer]:
        """Do one of get, tunnel (a GET of plain HTTP through CONNECT), post (a body of so many bytes), stream (the same
        without a length), expect (the same, sent after a 100), pair (two GETs at once), and return what came back."""

    @abstractmethod
    def series(self, url: str, times: int) -> bytes:
        """The bodies of so many GETs, one after another."""

    @abstractmethod
    def events(self, url: str) -> Iterator[str]:
        """The lines of a stream, as they come."""

    def close(self) -> None:  # noqa: B027  a command line has nothing to end
        """End it."""


class Program(Client):
    """A program that obeys lines on stdin, see programs/conversation.py."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str]) -> None:
        pipe = subprocess.PIPE
        self._popen = subprocess.Popen(command, env=env, stdin=pipe, stdout=pipe, stderr=pipe)

    def ask(self, command: str, url: str, size: int = 0) -> list[Answer]:
        with _killed_in_the_end(self._popen):
            self._say(f"{command} {url} {size}")
            return [self._answer() for _ in range(2 if command == "pair" else 1)]

    def series(self, url: str, times: int) -> bytes:
        return b"".join(self.ask("get", url)[0].body for _ in range(times))

    def events(self, url: str) -> Iterator[str]:
        with _killed_in_the_end(self._popen):
            self._say(f"events {url} 0")
            while (line := self._line()) != "end":
                yield line

    def close(self) -> None:
        with _killed_in_the_end(self._popen):
            _, err = self._popen.communicate()
        said = [line for line in err.decode().splitlines() if not line.startswith("Picked up JAVA_TOOL_OPTIONS: ")]
        assert (self._popen.returncode, said) == (0, []), (self._popen.returncode, said)

    def _say(self, line: str) -> None:
        assert self._popen.stdin is not None
        self._popen.stdin.write(f"{line}\n".encode())
        self._popen.stdin.flush()

    def _line(self) -> str:
        assert self._popen.stdout is not None
        line = self._popen.stdout.readline().decode()
        assert line, self._popen.communicate()[1].decode()
        return line.rstrip("\n")

    def _answer(self) -> Answer:
        line = self._line()
        assert line.count("\t") == 3, line
        status, via, error, length = line.split("\t")
        assert self._popen.stdout is not None
        return Answer(int(status), via, error, self._popen.stdout.read(int(length)))


class Curl(Client):
    """A command line for each request."""

    _ARGUMENTS: Mapping[str, Sequence[str]] = {
        "get": (),
        "tunnel": ("--proxytunnel",),
        "post": ("--data-binary", "@-"),
        "stream": ("-X", "POST", "-T", "-"),
        "expect": ("--data-binary", "@-", "-H", "Expect: 100-continue", "--expect100-timeout", "60"),
    }
    _REPORT = "%{stderr}%{http_code}\t%header{via}\t%header{proxy-status}\n"

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env

    def ask(self, command: str, url: str, size: int = 0) -> list[Answer]:
        if command == "pair":
            done = self._run("--parallel", "--parallel-immediate", url, url)
            half = len(done.stdout) // 2
            bodies = [done.stdout[:half], done.stdout[half:]]
        else:
            done = self._run(*self._ARGUMENTS[command], url, body=DIGITS * (size // len(DIGITS)))
            bodies = [done.stdout]
        reports = re.findall(r"(\d{3})\t(.*)\t(.*)\n", done.stderr.decode())
        assert len(reports) == len(bodies), done.stderr
        return [
            Answer(int(status), via, error, body if done.returncode == 0 else done.stderr)
            for (status, via, error), body in zip(reports, bodies, strict=True)
        ]

    def series(self, url: str, times: int) -> bytes:
        return self._run(*[url] * times).stdout

    def events(self, url: str) -> Iterator[str]:
        with (
            subprocess.Popen(("curl", "-sSN", url), env=self._env, stdout=subprocess.PIPE, text=True) as popen,
            _killed_in_the_end(popen),
        ):
            assert popen.stdout is not None
            for line in popen.stdout:
                yield line.rstrip("\n")

    def _run(self, *arguments: str, body: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        command = ("curl", "-sSL", "-w", self._REPORT, *arguments)
        return subprocess.run(command, env=self._env, input=body, capture_output=True, timeout=PATIENCE, check=False)


class Wget(Client):
    """A command line for each request; its TLS library reads no variable for the issuers to trust."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env

    def ask(self, command: str, url: str, size: int = 0) -> list[Answer]:
        upload = {"get": (), "post": (f"--post-data={(DIGITS * (size // len(DIGITS))).decode()}",)}[command]
        done = self._run(*upload, url)
        said = done.stderr.decode()
        status = re.findall(r"(?m)^ *HTTP/1\.1 (\d+)", said)
        return [
            Answer(
                int(status[-1]) if status else 0,
                _last(r"(?mi)^ *Via: (.*)$", said),
                _last(r"(?mi)^ *Proxy-Status: (.*)$", said),
                done.stdout if status else done.stderr,
            )
        ]

    def series(self, url: str, times: int) -> bytes:
        return self._run(*[url] * times).stdout

    def events(self, url: str) -> Iterator[str]:
        raise NotImplementedError

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        trust = f"--ca-certificate={self._env['SSL_CERT_FILE']}"
        command = ("wget", "-nv", "-S", "-O", "-", "--tries=1", "--content-on-error", trust, *arguments)
        return subprocess.run(command, env=self._env, capture_output=True, timeout=PATIENCE, check=False)


def _last(pattern: str, text: str) -> str:
    found: list[str] = re.findall(pattern, text)
    return found[-1] if found else ""


@contextmanager
def _killed_in_the_end(popen: subprocess.Popen[bytes] | subprocess.Popen[str]) -> Iterator[None]:
    killer = threading.Timer(PATIENCE, popen.kill)
    killer.start()
    try:
        yield
    finally:
        killer.cancel()

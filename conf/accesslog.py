"""A line for each request: where it is written, how it looks, and of which requests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Final

from conf.fields import LogTarget, Millis, Ratio, about, one_of
from conf.section import Section

SLOW_MS: Final = 1000


class AccessLog(Section, frozen=True, kw_only=True):
    """One line for each request when it is over."""

    to: Annotated[
        LogTarget,
        about(
            "Where lines are written: `stdout`, `journald`, or the absolute path of a file, which is appended to and "
            "opened anew at SIGHUP. What cannot be written is dropped, counted and said; traffic never waits for it.",
            like="linkerd 1.x: `httpAccessLog`, a file",
        ),
    ]
    format: Annotated[
        Annotated[str, one_of("json", "combined")] | None,
        about(
            "`json`: an object with all that is known of the request. `combined`: the line of Apache and nginx, for "
            "tools that read those.",
            like="linkerd 1.x: combined",
            unset="json; combined in the journal, where all else is in fields",
        ),
    ] = None
    only: Annotated[
        Annotated[str, one_of("all", "failures", "slow")],
        about(
            "Of which requests. `failures`: those that went wrong for their caller, by a 5XX, an error of the agent or "
            "an answer that broke off. `slow`: those whose answer took `slowMs`.",
            why="whoever wants a log mostly wants all of it",
            like="Envoy's access log filters; linkerd 1.x: all",
        ),
    ] = "all"
    slow_ms: Annotated[
        Millis | None,
        about(
            "From when on a request is slow: until it was known what to answer, so that long streams are not.",
            like="none",
            unset=f"{SLOW_MS}",
        ),
    ] = None
    sample_rate: Annotated[
        Ratio, about("The part of those requests that is logged, by chance.", why="the same", like="Envoy; none in 1.x")
    ] = 1.0

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Times of what is not asked for."""
        if self.slow_ms is not None and self.only != "slow":
            yield "slowMs", "is for only: slow; give that as well, or leave it out"

    @property
    def line_format(self) -> str:
        """The format, whether it was given or not."""
        return self.format or ("combined" if self.to == "journald" else "json")

    @property
    def slow_seconds(self) -> float:
        """From when on a request is slow."""
        return (self.slow_ms or SLOW_MS) / 1000

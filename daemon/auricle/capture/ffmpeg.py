"""Whatever ffmpeg reads is a source here: RTSP cameras, Icecast and HTTP streams, sound servers of other houses."""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Sequence
from contextlib import suppress

from auricle import secrecy
from auricle.capture import hidden
from auricle.capture.live import Live
from auricle.capture.pcm import PcmFeed
from auricle.capture.poller import Feed, Poller
from auricle.capture.source import Terms

log = logging.getLogger("auricle")

_LIST = "pipe:0"
"""Standard input, as ffmpeg calls it."""


class Ffmpeg(Live):
    """Hears an address by a child process of its own, the system's ffmpeg, as a `Source`.

    ffmpeg ends with status 0 when a camera goes away: any end, and any time without bytes, is a loss.

    Args:
        name: of the source.
        terms: on which the source is heard; ffmpeg is asked for sound at the model's rate, which so becomes the
            source's own.
        poller: moves the sound of all sources into their rings.
        url: what ffmpeg opens. Only scheme, host and port of it reach a log or a message, or, where that can be, its
            command line (`hidden`).
        options: for ffmpeg, before its ``-i``.
        program: ffmpeg, by name or path.
    """

    def __init__(
        self,
        name: str,
        terms: Terms,
        *,
        poller: Poller,
        url: str,
        options: Sequence[str] = (),
        program: str = "ffmpeg",
    ) -> None:
        super().__init__(name, terms, poller=poller)
        self._url = url
        self._options = tuple(options)
        self._program = program
        self._said = False

    START_S = 5.0

    def command(self) -> tuple[list[str], bytes]:
        """Return the command line that is run, and what it reads from its standard input.

        Raises:
            OSError: ffmpeg, which is asked for its version first, cannot be started.
        """
        options = self._options
        # What is lost over UDP nobody counts; and a camera's slow video must not hold up its sound for five seconds.
        defaults = {"-analyzeduration": "1000000"}
        if self._url.lower().startswith(("rtsp:", "rtsps:")):
            defaults["-rtsp_transport"] = "tcp"
        for option, value in defaults.items():
            if option not in options:
                options = (option, value, *options)
        before, address, listed = list(options), self._url, b""
        if hidden.wanted(self._url, secrecy.address(self._url), options):
            if (why := hidden.hindrance(self._program, options)) is None:
                before, listed = hidden.split(self._url, options)
                address = _LIST
            elif not self._said:
                self._said = True
                log.warning(
                    "%s: its address is on ffmpeg's command line, where other users of this machine can read it: %s",
                    self.name, why,
                )  # fmt: skip
        rate = str(self.terms.model_rate)
        wanted = ("-vn", "-sn", "-dn", "-ac", "1", "-ar", rate, "-f", "f32le", "-flush_packets", "1")
        return [self._program, "-nostdin", "-v", "error", *before, "-i", address, *wanted, "pipe:1"], listed

    def _launch(self, before: Feed | None) -> tuple[Feed, subprocess.Popen[bytes]]:
        words, listed = self.command()
        process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            process_group=0,  # an interrupt at the terminal is for the parent
        )
        assert process.stdin is not None
        with suppress(BrokenPipeError), process.stdin:  # it has ended: that is found where its end is looked for
            process.stdin.write(listed)
        assert process.stdout is not None
        assert process.stderr is not None
        feed = PcmFeed(
            os.dup(process.stdout.fileno()),
            rate=self.terms.model_rate,
            form="f32le",
            channels=1,
            ring_s=self.terms.ring_s,
            errors_fd=os.dup(process.stderr.fileno()),
            before=before,
            device=secrecy.address(self._url),
        )
        process.stdout.close()
        process.stderr.close()
        return feed, process

    def _missing(self, fault: OSError) -> str:
        if isinstance(fault, FileNotFoundError):
            return f"{self._program} is not installed; on Debian: apt-get install ffmpeg"
        return f"{self._program} cannot be started: {fault.strerror or fault}"

    def _ended(self, feed: Feed, code: int | None) -> str:
        told = (feed.reason or feed.complaint).replace(_LIST, self._url)
        said = secrecy.without(told, self._url, self._options)
        return f"ffmpeg: {said}" if said else "the stream ended"

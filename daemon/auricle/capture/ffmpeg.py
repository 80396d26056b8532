"""Whatever ffmpeg reads is a source here: RTSP cameras, Icecast and HTTP streams, sound servers of other houses."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from urllib.parse import urlsplit

from auricle.capture.live import Live
from auricle.capture.pcm import PcmFeed
from auricle.capture.poller import Feed, Poller
from auricle.capture.source import Terms

_USER = re.compile(r"//[^/\s]*@")
_QUERY = re.compile(r"(://[^\s?]*)\?[^\s'\"]*")


def shown(text: str) -> str:
    """Return the text without what can be a password: the user of an address, and all that follows its question
    mark."""
    return _QUERY.sub(r"\1?***", _USER.sub("//***@", text))


class Ffmpeg(Live):
    """Hears an address by a child process of its own, the system's ffmpeg, as a `Source`.

    ffmpeg ends with status 0 when a camera goes away: any end, and any time without bytes, is a loss.

    Args:
        name: of the source.
        terms: on which the source is heard; ffmpeg is asked for sound at the model's rate, which so becomes the
            source's own.
        poller: moves the sound of all sources into their rings.
        url: what ffmpeg opens. Credentials in it never reach a log or a message.
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

    START_S = 5.0

    def command(self) -> list[str]:
        """Return the command line that is run."""
        options = self._options
        # What is lost over UDP nobody counts; and a camera's slow video must not hold up its sound for five seconds.
        defaults = {"-analyzeduration": "1000000"}
        if urlsplit(self._url).scheme in ("rtsp", "rtsps"):
            defaults["-rtsp_transport"] = "tcp"
        for option, value in defaults.items():
            if option not in options:
                options = (option, value, *options)
        rate = str(self.terms.model_rate)
        wanted = ("-vn", "-sn", "-dn", "-ac", "1", "-ar", rate, "-f", "f32le", "-flush_packets", "1")
        return [self._program, "-nostdin", "-v", "error", *options, "-i", self._url, *wanted, "pipe:1"]

    def _launch(self, before: Feed | None) -> tuple[Feed, subprocess.Popen[bytes]]:
        process = subprocess.Popen(
            self.command(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            process_group=0,  # an interrupt at the terminal is for the parent
        )
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
            device=shown(self._url),
        )
        process.stdout.close()
        process.stderr.close()
        return feed, process

    def _missing(self, fault: OSError) -> str:
        if isinstance(fault, FileNotFoundError):
            return f"{self._program} is not installed; on Debian: apt-get install ffmpeg"
        return f"{self._program} cannot be started: {fault.strerror or fault}"

    def _ended(self, feed: Feed, code: int | None) -> str:
        said = shown(feed.reason or feed.complaint)
        # Its options may hold secrets too, and it may quote them.
        for secret in (o for o in self._options if len(o) > 3 and not o.startswith("-")):
            said = said.replace(secret, "***")
        return f"ffmpeg: {said}" if said else "the stream ended"

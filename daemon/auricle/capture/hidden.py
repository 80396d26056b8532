"""An address with a password is handed to ffmpeg in a pipe, where other users of the machine cannot read it.

The words of a command are for everybody (`ps`, /proc/PID/cmdline); what a process reads from a pipe is for its user
and root. ffmpeg reads lists of files (its concat demuxer) from a pipe, and opens what stands there with the options
that stand beside it. So only what it does itself, before it opens anything, has to be said in words.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from functools import cache

from auricle.secrecy import harmless, pairs

FIRST_MAJOR = 5
"""The first ffmpeg whose lists may hold options."""
_PROTOCOLS = ",".join((
    "pipe,file,crypto,data,tcp,udp,tls,http,httpproxy,https,hls,ftp,rtp,srtp,rtsp,srt,sctp",
    "rtmp,rtmpe,rtmps,rtmpt,rtmpts,icecast,mmsh,mmst,gopher,rist,sftp,smb,unix,zmq,amqp",
))  # fmt: skip
"""The protocols that a list may open: those of files, and all that reach a network. Without naming them ffmpeg opens
none of the latter."""
_BOTH = {"-analyzeduration", "-probesize"}
"""These options belong to the list as well as to what stands in it."""
_OF_FORMAT = {"-f", "-ar", "-ac", "-sample_fmt", "-channel_layout", "-ch_layout", "-protocol_whitelist"}
"""A list cannot pass these options on to what it names."""
_OWN = {
    "-accurate_seek",
    "-hwaccel",
    "-itsoffset",
    "-itsscale",
    "-loglevel",
    "-re",
    "-readrate",
    "-ss",
    "-sseof",
    "-stream_loop",
    "-t",
    "-thread_queue_size",
    "-threads",
    "-to",
    "-v",
}
"""These options are ffmpeg's own, like those that choose a decoder (`_DECODER`): they are said in words."""
_DECODER = re.compile(r"-(c|codec|acodec|vcodec)(:.*)?")


def wanted(address: str, shown: str, options: Sequence[str]) -> bool:
    """Return whether something has to be hidden: the address is not all shown, or an option may be a secret."""
    return address != shown or any(value is not None and not harmless(name) for name, value in pairs(options))


def hindrance(program: str, options: Sequence[str]) -> str | None:
    """Return why the address cannot be hidden; ``None`` if it can.

    Raises:
        OSError: the program cannot be started.
    """
    told = sorted(_OF_FORMAT & {name for name, _ in pairs(options)})
    if told:
        return f"the option {told[0]} works only beside it"
    version = _version(program)
    return None if version is None or version >= FIRST_MAJOR else f"this is ffmpeg {version}, it needs {FIRST_MAJOR}"


def split(address: str, options: Sequence[str]) -> tuple[list[str], bytes]:
    """Return the options that are said in words, and the list with the address and all the others."""
    words: list[str] = []
    lines = ["ffconcat version 1.0", f"file {_quoted(address)}"]
    for name, value in pairs(options):
        if value is None or name in _OWN or _DECODER.fullmatch(name):
            words += [name] if value is None else [name, value]
            continue
        lines.append(f"option {name[1:]} {_quoted(value)}")
        if name in _BOTH:
            words += [name, value]
    words += ["-protocol_whitelist", _PROTOCOLS, "-f", "concat", "-safe", "0"]
    return words, "\n".join([*lines, ""]).encode()


@cache
def _version(program: str) -> int | None:
    """Ask a program for its major version; ``None`` where it does not say one, as builds from a repository."""
    with suppress(subprocess.TimeoutExpired):
        done = subprocess.run(
            [program, "-version"], stdin=subprocess.DEVNULL, capture_output=True, timeout=2, check=False
        )
        if found := re.match(rb"ffmpeg version (\d+)\.", done.stdout):
            return int(found[1])
    return None


def _quoted(text: str) -> str:
    return "'" + text.replace("'", r"'\''") + "'"

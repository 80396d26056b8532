"""The system's ffmpeg decodes what libsndfile does not read: phones' recordings, films, other codecs.

ffmpeg is trusted with nothing but the file's own bytes: it opens no address, no playlist and no second file, and its
time, memory and output are bounded.
"""

from __future__ import annotations

import json
import os
import resource
import select
import shutil
import subprocess
import time
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from auricle.capture import asf

FORMATS = (
    "3g2,3gp,aac,ac3,adts,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dsf,dts,eac3,flac,flv,gxf,iff,loas,matroska,mj2,mov,"
    "mp3,mp4,m4a,mpc,mpc8,mpeg,mpegts,mxf,nut,ogg,oma,rm,tak,tta,voc,w64,wav,webm,wtv,wv,xwma"
)
"""Formats that are opened, by ffmpeg's names: sound and film in one file. Playlists, which name other files, are
not."""
_TOLD_BY = {
    *("mov", "mp4", "m4a", "3gp", "matroska", "webm", "avi", "flv", "wav", "w64", "caf", "ape", "tta", "wv", "rm"),
    *("mpc", "mpc8", "tak", "dsf"),
}
"""Formats whose header states how long they are; of others ffmpeg estimates it."""
_ASKED = (
    "format=format_name,duration,nb_streams:stream=codec_type,codec_name,sample_rate,channels,duration,duration_ts,nb_frames"
    ":stream_tags=DURATION"
)
_TAGS = ":format_tags=comment,date"
ASK_S, STALL_S = 20.0, 10.0
"""ffmpeg may take so long to say what a file is, and so long to give the next samples."""
MOST_BYTES = 512 * 2**20
"""ffmpeg may take so much memory."""
MOST_S = 7 * 86_400
"""A file may hold so much sound: what ffmpeg gives beyond it is refused, since it makes days of a few bytes."""
_OPEN_FRAMES = 2**30
"""An AVI that was written into a pipe says that it has so many."""
_CODEC_FRAME = 4096
"""A codec may add or leave out so many samples at a file's ends, of those that are not known better."""
_CODEC_FRAMES = {"aac": 2048, "mp3": 1152}
_COUNTED = ("pcm_", "adpcm_g72", "alac", "flac", "tta", "wavpack")
"""Codecs that give as many samples as they were given: their number is stated within a time stamp's two ms."""
_PIPE_BYTES = 65_536
_SAID_CHARACTERS = 300


class Undecodable(Exception):
    """Says in a few words why ffmpeg does not give a recording's sound, or not all of it."""


@dataclass(frozen=True, slots=True)
class About:
    """Holds what ffmpeg says of a recording's sound; ``stated`` samples where its container tells its length."""

    rate: int
    channels: int
    stated: int | None
    tags: dict[str, str]
    codec: str = ""

    @property
    def loose(self) -> int:
        """Return by how many samples what is stated and what is given may differ in a whole file."""
        if self.codec.startswith(_COUNTED):
            return self.rate // 500
        return _CODEC_FRAMES.get(self.codec, _CODEC_FRAME)


def ask(path: str) -> About:
    """Ask ffmpeg what a file's first sound is.

    Raises:
        Undecodable: it holds none, it is none of `FORMATS`, or there is no ffmpeg.
    """
    if shutil.which("ffprobe") is None or shutil.which("ffmpeg") is None:
        raise Undecodable("ffmpeg might read it; on Debian: apt-get install ffmpeg")
    command = ["ffprobe", "-v", "error", *_opened(path), "-show_entries", _ASKED + _TAGS, "-of", "json"]
    asked = _started(command)
    try:
        out, err = asked.communicate(timeout=ASK_S)
    except subprocess.TimeoutExpired:
        asked.kill()
        asked.communicate()
        raise Undecodable(f"ffmpeg did not say what it is in {ASK_S:g} s") from None
    if asked.returncode:
        if b"whitelist" in err:
            raise Undecodable("a playlist or picture, or of another kind that is not opened")
        raise Undecodable(f"ffmpeg: {_said(err.splitlines()[0] if err else err)}")
    try:
        told = json.loads(out)
        streams = [stream for stream in told.get("streams", ()) if stream.get("codec_type") == "audio"]
        if not streams:
            raise Undecodable("holds no sound")
        rate, channels = int(streams[0]["sample_rate"]), int(streams[0]["channels"])
    except (ValueError, KeyError, TypeError):
        raise Undecodable("ffmpeg does not say what its sound is") from None
    if not rate or not channels:
        raise Undecodable("ffmpeg does not say what its sound is")
    container = told.get("format", {})
    with open(path, "rb") as file:
        seconds = asf.stated_s(file) or _seconds(container, streams[0])
    stated = None if seconds is None else round(seconds * rate)
    return About(rate, channels, stated, container.get("tags", {}), str(streams[0].get("codec_name", "")))


class Transcoded:
    """Runs ffmpeg over a recording, to be read like a `soundfile.SoundFile`: onwards, as float32.

    ffmpeg begins at the first `read`: a chain of streams has one each, and one runs at a time.

    Args:
        path: of the file.
        about: as `ask` has it.
        piece: offset and length of the bytes that ffmpeg is given, which then come through a pipe; else the file.
    """

    subtype, format = "FLOAT", "ffmpeg"

    def __init__(self, path: str, about: About, piece: tuple[int, int] | None = None) -> None:
        self.samplerate, self.channels = about.rate, about.channels
        self.frames = about.stated or 0
        self.loose = about.loose
        self._tags = about.tags
        self._frame_bytes = 4 * about.channels
        # No codec takes less than a byte for a second of sound: a small file that gives days of it is a trap.
        most_s = min(MOST_S, 60 + (os.path.getsize(path) if piece is None else piece[1]))
        wanted = ("-map", "0:a:0", "-ac", str(about.channels), "-ar", str(about.rate), "-t", str(most_s), "-f", "f32le")
        source = _opened(path) if piece is None else _opened(None)
        self._command = ["ffmpeg", "-nostdin", "-v", "error", "-threads", "1", *source, *wanted, "pipe:1"]
        self._process: subprocess.Popen[bytes] | None = None
        self._path, self._piece = path, piece
        self._fed: BinaryIO | None = None
        self._complaints = b""
        self._left = most_s * about.rate

    def read(self, out: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the next samples, as many as fit into ``out`` ``(n, channels)``; fewer at the end, none behind it.

        Raises:
            Undecodable: ffmpeg failed or hangs; what it gave before has been given.
        """
        view, filled = out.reshape(-1).view(np.uint8), 0
        process = self._process or self._begun()
        while filled < len(view):
            if not (more := self._some(process, len(view) - filled)):
                break
            view[filled : filled + len(more)] = np.frombuffer(more, np.uint8)
            filled += len(more)
        frames = filled // self._frame_bytes
        self._left -= frames
        if not frames:
            if code := self._ended(process):
                raise Undecodable(f"ffmpeg: {_said(self._complaints) or f'ended with {code}'}")
            self.close()
        if self._left <= 0:
            raise Undecodable("more sound than its size can hold")
        return out[:frames]

    def copy_metadata(self) -> dict[str, str]:
        """Return what is written beside the sound: ``comment`` and ``date``, where they are."""
        return dict(self._tags)

    def close(self) -> None:
        """End ffmpeg."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._feed_no_more(self._process)
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def _begun(self) -> subprocess.Popen[bytes]:
        self._process = _started(self._command, subprocess.DEVNULL if self._piece is None else subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._out, self._err = self._process.stdout.fileno(), self._process.stderr.fileno()
        if self._piece is not None and self._process.stdin is not None:
            os.set_blocking(self._process.stdin.fileno(), False)
            self._fed = open(self._path, "rb")  # noqa: SIM115 - closed when it has been given
            self._fed.seek(self._piece[0])
            self._to_feed = self._piece[1]
        return self._process

    def _feed(self, process: subprocess.Popen[bytes]) -> None:
        """Give ffmpeg as much of its piece as it takes now."""
        assert self._fed is not None
        assert process.stdin is not None
        content = self._fed.read(min(self._to_feed, _PIPE_BYTES))
        try:
            taken = os.write(process.stdin.fileno(), content) if content else 0
        except BlockingIOError:
            taken = 0
        except BrokenPipeError:  # it has ended, and says why
            content, taken = b"", 0
        self._fed.seek(taken - len(content), os.SEEK_CUR)
        self._to_feed -= taken
        if not content or not self._to_feed:
            self._feed_no_more(process)

    def _feed_no_more(self, process: subprocess.Popen[bytes]) -> None:
        if self._fed is not None and process.stdin is not None:
            process.stdin.close()
            self._fed.close()
            self._fed = None

    def _ended(self, process: subprocess.Popen[bytes]) -> int:
        """Return the exit code, once all has been given and the last complaint, which tells why, is read."""
        until_s = time.monotonic() + STALL_S
        while self._complained(until_s - time.monotonic()):
            pass
        try:
            return process.wait(max(0.0, until_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def _complained(self, within_s: float) -> bool:
        """Read what ffmpeg says beside the sound, and return whether it may say more; a program that it started may
        hold the pipe open, so that its end is not waited for."""
        if within_s <= 0 or not select.select([self._err], (), (), within_s)[0]:
            return False
        said = os.read(self._err, 65_536)
        self._complaints = (self._complaints + said)[-4096:]
        return bool(said)

    def _some(self, process: subprocess.Popen[bytes], most: int) -> bytes:
        """Return bytes of sound as soon as there are some, none at the end; read complaints too, lest ffmpeg wait for
        their reader."""
        until_s = time.monotonic() + STALL_S
        heard = [self._out, self._err]
        while (left_s := until_s - time.monotonic()) > 0:
            feeding = [process.stdin] if self._fed is not None and process.stdin is not None else []
            ready, hungry, _ = select.select(heard, feeding, (), left_s)
            if self._err in ready and not self._complained(left_s):
                heard.remove(self._err)
            if self._out in ready:
                return os.read(self._out, min(most, 2**20))
            if hungry:
                self._feed(process)
        process.kill()
        raise Undecodable(f"ffmpeg gave nothing for {STALL_S:g} s")


def _opened(path: str | None) -> list[str]:
    """Return the options by which ffmpeg opens the file, or what it is given, and nothing else."""
    what = "pipe:0" if path is None else f"file:{path}"
    return ["-protocol_whitelist", "file,pipe", "-format_whitelist", FORMATS, "-i", what]


def _started(command: list[str], stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0, process_group=0
    )
    for what, most in ((resource.RLIMIT_DATA, MOST_BYTES), (resource.RLIMIT_FSIZE, 0)):
        try:
            resource.prlimit(process.pid, what, (most, most))
        except ProcessLookupError:  # it has ended already
            break
    return process


def _seconds(container: dict[str, Any], stream: dict[str, Any]) -> float | None:
    """Return how long the sound is, where the container states it; that of a film is not its sound's."""
    if not _TOLD_BY.intersection(str(container.get("format_name", "")).split(",")):
        return None
    clock = str(stream.get("tags", {}).get("DURATION", ""))
    try:
        if container["format_name"] == "avi":
            # What its header states are frames; ffmpeg's seconds are those of a cut file.
            frames = int(stream["nb_frames"])
            return None if frames >= _OPEN_FRAMES else float(stream["duration"]) * frames / int(stream["duration_ts"])
        if "duration" in stream:
            return float(stream["duration"]) or None
        if clock:
            hours, minutes, seconds = clock.split(":")
            return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
        return float(container["duration"]) if container.get("nb_streams") == 1 else None
    except (KeyError, ValueError, ZeroDivisionError):
        return None


def _said(err: bytes) -> str:
    """Return the last thing that ffmpeg complained of, without the file's name."""
    lines = [line for line in err.decode("utf-8", "backslashreplace").splitlines() if line.strip()]
    return lines[-1].rpartition(": ")[2].strip()[:_SAID_CHARACTERS] if lines else ""

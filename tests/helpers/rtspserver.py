"""An RTSP server gives tests a recording as a camera would, on loopback.

As a program (with the system's Python, which has GStreamer's bindings) it serves a 16 kHz mono WAV file in real time,
to each client from its start, as ``/lossless`` (L16), ``/phone`` (A-law at 8 kHz) and ``/camera`` (L16 beside video).
"""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

PYTHON = "/usr/bin/python3"
PACKAGES = (
    "ffmpeg python3-gi gir1.2-gst-rtsp-server-1.0 gir1.2-gstreamer-1.0 "
    "gstreamer1.0-plugins-base gstreamer1.0-plugins-good"
)
MEDIA = {
    "/lossless": "( {sound} ! audioconvert ! audio/x-raw,format=S16BE ! rtpL16pay name=pay0 pt=96 )",
    "/phone": "( {sound} ! audioresample ! audio/x-raw,rate=8000 ! alawenc ! rtppcmapay name=pay0 pt=8 )",
    "/camera": "( videotestsrc is-live=true ! video/x-raw,width=64,height=48,framerate=5/1,format=I420 "
    "! jpegenc ! rtpjpegpay name=pay0 pt=26 "
    "{sound} ! audioconvert ! audio/x-raw,format=S16BE ! rtpL16pay name=pay1 pt=97 )",
}


def missing() -> str:
    """Name what is not installed; empty if nothing is."""
    code = "import gi; gi.require_version('Gst', '1.0'); gi.require_version('GstRtspServer', '1.0')"
    try:
        there = subprocess.run([PYTHON, "-c", code], capture_output=True, check=False).returncode == 0
        subprocess.run(["ffmpeg", "-version"], capture_output=True, check=True)
    except OSError:
        there = False
    return "" if there else f"ffmpeg or GStreamer's RTSP server (apt-get install {PACKAGES})"


def free_port() -> int:
    """Return a port of loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RtspServer:
    """Runs the program in a process of its own, at a port that stays the same; it can be killed, frozen and come
    back."""

    def __init__(self, wav: Path) -> None:
        self.port = free_port()
        self._wav = wav
        self.process: subprocess.Popen[bytes] | None = None

    def url(self, path: str, user: str = "") -> str:
        return f"rtsp://{user}127.0.0.1:{self.port}{path}"

    def start(self) -> None:
        """Start the server, which is up and listening when this returns."""
        self.process = subprocess.Popen(
            [PYTHON, __file__, str(self._wav), str(self.port)], stdout=subprocess.PIPE, bufsize=0
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"up\n"

    def stop(self) -> None:
        """End the server at once, as a power cut does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            assert self.process.stdout is not None
            self.process.stdout.close()
            self.process = None


def serve(wav: str, port: str) -> None:
    """Serve until killed."""
    import gi

    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    from gi.repository import GLib, Gst, GstRtspServer

    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    sound = f'filesrc location="{wav}" ! wavparse ! audioconvert'
    for path, media in MEDIA.items():
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch(media.format(sound=sound))
        server.get_mount_points().add_factory(path, factory)
    server.attach(None)
    print("up", flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2])

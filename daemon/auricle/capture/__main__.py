"""`python -I -m auricle.capture` is the child of a microphone, a process of its own."""

from __future__ import annotations

import os
import sys

from auricle.capture.child import main

code = main()
sys.stdout.flush()
# PortAudio's own end-of-process hook may hang with the sound server; nothing here needs it.
os._exit(code)

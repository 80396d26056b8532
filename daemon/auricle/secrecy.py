"""Texts are written here without what may be a secret in them, the passwords and tokens of addresses, parameters and
headers, before anybody is shown them.

Of an address to which a key of the configuration belongs only scheme, host and port are shown (`address`): cameras have
passwords and tokens in all the rest, in the path too. In any other text addresses, parameters and headers are looked
for (`mask`); that is a net, which may miss a secret that does not look like one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from urllib.parse import unquote

HIDDEN = "***"
"""Stands where something was left out."""

_BEGIN = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*:)?//")
_OURS = {"ipc:", "inproc:", "file:"}
"""What stands behind these is a path of this machine."""
_AUTHORITY = re.compile(r"(?P<user>.*@)?(?P<place>(?:\[[0-9A-Fa-f:.%\w]+\]|[\w.*-]+)(?::(?:[0-9]{1,5}|\*))?)")
_IN_TEXT = re.compile(r"(?<![/\w])(?:[A-Za-z][A-Za-z0-9+.-]*:)?//(?=[^\s/])[^\s'\"]+")
_PARAMETER = re.compile(r"(?i)((?:pass?\w*|pwd|psw|secret|token|(?:api_?)?key|sig(?:nature)?|auth)=)[^&\s'\"]+")
_HEADER = re.compile(r"(?i)((?:authorization|cookie|x-api-key)\s*:\s*)[^\r\n]+")
_HARMLESS = re.compile(
    r"-(a[cr]|accurate_seek|analyzeduration|buffer_size|ch(annel)?_layout|f|fflags|flags|hwaccel|itsoffset|itsscale"
    r"|loglevel|max_delay|probesize|protocol_whitelist|re|readrate|reconnect(_at_eof|_delay_max|_streamed)?|rtsp_flags"
    r"|rtsp_transport|rw_timeout|sample_fmt|ss|sseof|stimeout|stream_loop|t|thread_queue_size|threads|timeout|tls_verify"
    r"|to|v|(c|codec|acodec|vcodec)(:.*)?)"
)
"""The options of ffmpeg whose values are no secrets; that of any other may be one."""
_SHORTEST = 3
"""Shorter parts of a secret are not looked for in what others write: nothing would be left of their words."""
_WORD = re.compile(rf"\w{{{_SHORTEST},}}")


def address(text: str) -> str:
    """Write an address as what all may know of it: scheme, host and port, and whether there is more.

    What is no address is written as it is, unless somebody may have meant one with a password.
    """
    begin = _BEGIN.match(text)
    if begin is None:
        return HIDDEN if "@" in text else text
    if begin["scheme"] in _OURS:
        return text
    authority = re.split(r"[/?#\\]", text[begin.end() :], maxsplit=1)[0]
    more = text[begin.end() + len(authority) :]
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None or "@" in more:  # then the password may have a slash in it, and what looks like a host is a part
        return begin[0] + HIDDEN
    user = f"{HIDDEN}@" if parts["user"] else ""
    return begin[0] + user + parts["place"] + (f"/{HIDDEN}" if more.strip("/") else more)


def mask(text: str) -> str:
    """Write a text of any kind without what looks like a secret in it: for errors, logs and ``config show``."""
    if _BEGIN.match(text) and "@" in re.split(r"[\s'\"]", text, maxsplit=1)[-1]:  # a blank is in the password too
        return address(text)
    text = _IN_TEXT.sub(_masked, text)
    return _HEADER.sub(rf"\1{HIDDEN}", _PARAMETER.sub(rf"\1{HIDDEN}", text))


def _masked(found: re.Match[str]) -> str:
    said = found[0].rstrip(":,;.)]")
    return address(said) + found[0][len(said) :]


def pairs(options: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """Yield each option of ffmpeg with its value, or without one: what follows begins like an option, or nothing
    follows."""
    words = list(options)
    while words:
        word = words.pop(0)
        value = bool(words) and (not words[0].startswith("-") or words[0][1:2].isdigit())
        yield word, words.pop(0) if value else None


def harmless(option: str) -> bool:
    """Return whether the value of an option of ffmpeg can be no secret."""
    return _HARMLESS.fullmatch(option) is not None


def options(words: Sequence[str]) -> list[str]:
    """Write options of ffmpeg with those values alone that can be no secret."""
    shown: list[str] = []
    for name, value in pairs(words):
        shown.append(name if name.startswith("-") else HIDDEN)
        if value is not None:
            shown.append(value if _open(name, value) else HIDDEN)
    return shown


def without(text: str, where: str, given: Sequence[str]) -> str:
    """Write what ffmpeg has said without the secrets that it was given, which it may quote in whole or in part.

    Args:
        text: what it said.
        where: the address that it reads.
        given: its options.
    """
    shown = address(where)
    secrets = [name if value is None else value for name, value in pairs(given) if not _open(name, value)]
    for secret in sorted((each for each in secrets if len(each) >= _SHORTEST), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    text = mask(text.replace(where, shown))
    if shown == where:
        return text
    words = set(_WORD.findall(where)) | set(_WORD.findall(unquote(where)))
    for word in words - set(_WORD.findall(shown)):
        text = re.sub(rf"(?<!\w){word}(?!\w)", HIDDEN, text)
    return text


def _open(option: str, value: str | None) -> bool:
    """Return whether an option, with its value if it has one, may be shown."""
    return option.startswith("-") and (value is None or harmless(option))

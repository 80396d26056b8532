"""`auricle web` shows what the daemon hears as a page in a browser."""

from __future__ import annotations

import logging
from functools import partial
from typing import Annotated

import typer

from auricle.config import Publish
from auricle.connectors import credentials
from auricle.connectors.extras import bring
from auricle.errors import ConfigError
from auricle.service.permits import own_token
from auricle.terminal import options
from auricle.terminal.options import ConfigFile

log = logging.getLogger("auricle")


def command(
    config: ConfigFile = None,
    hash_: Annotated[
        bool, typer.Option("--hash", help="Ask for a password, and print what web.password's file shall hold.")
    ] = False,
    read_only: Annotated[bool, typer.Option("--read-only", help="Only show; web.read_only does the same.")] = False,
) -> int:
    """Serve the page until it is stopped; return the exit code.

    Raises:
        ConfigError: the address cannot be served, or a secret cannot be read.
    """
    for module in ("starlette", "uvicorn", "argon2"):
        bring("web", module, "auricle web")
    if hash_:
        import argon2

        given = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        print(argon2.PasswordHasher().hash(given))
        return 0
    from auricle.clips.reading import opened
    from auricle.config import served_at
    from auricle.connectors.guard import Secrets
    from auricle.connectors.page import Settings, run
    from auricle.connectors.wishes import Means
    from auricle.service import logs
    from auricle.service.folder import found
    from auricle.service.notify import Notifier

    cfg = options.load(config)
    logs.set_up(cfg.log)
    wanted = cfg.web
    token = wanted.token and credentials.read(wanted.token, "auricle-web.token", "web.token")
    password = wanted.password and credentials.read(wanted.password, "auricle-web.password", "web.password")
    if password and not password.startswith("$argon2"):
        raise ConfigError(["web.password: the file holds no hash; write what auricle web --hash prints into it"])
    host, port = served_at(wanted.listen)
    secrets = Secrets(token or None, password or None)
    publish = cfg.publish
    means = Means(
        login=secrets.wanted,
        read_only=read_only or wanted.read_only,
        keyed=publish.client_key is not None,
        token=None if read_only or wanted.read_only or publish.client_key is not None else _shown(publish),
        few=publish.query.startswith("ipc://") and not publish.query.startswith("ipc://@"),
    )
    clips = partial(opened, cfg.clips.folder or found("clips"))
    run(Settings(publish.endpoint, publish.query, publish.client_key, host, port, secrets, means, clips), Notifier())
    return 0


def _shown(publish: Publish) -> str | None:
    """Return what the page shows the daemon to change thresholds. Where it may not read that it says so, and only
    shows."""
    try:
        return own_token(publish)
    except ConfigError as e:
        for line in e.lines():
            log.warning("%s; no threshold can be changed here", line)
        return None

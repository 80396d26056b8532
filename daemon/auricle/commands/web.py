"""`auricle web` shows what the daemon hears as a page in a browser."""

from __future__ import annotations

from typing import Annotated

import typer

from auricle.connectors import credentials
from auricle.connectors.extras import bring
from auricle.errors import ConfigError
from auricle.terminal import options
from auricle.terminal.options import ConfigFile


def command(
    config: ConfigFile = None,
    hash_: Annotated[
        bool, typer.Option("--hash", help="Ask for a password, and print what web.password's file shall hold.")
    ] = False,
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
    from auricle.config import served_at
    from auricle.connectors.guard import Secrets
    from auricle.connectors.page import Settings, run
    from auricle.service import logs
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
    run(Settings(cfg.publish.endpoint, cfg.publish.query, cfg.publish.client_key, host, port, secrets), Notifier())
    return 0

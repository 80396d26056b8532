"""A probe looks whether a broker, or a machine behind an address, would take what a bridge has to say; a bridge that
runs is not disturbed."""

from __future__ import annotations

import queue
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from auricle.connectors.mqtt import Broker
from auricle.errors import ProbeError

PATIENCE_S = 5.0
"""A broker that does not answer for so long is not there."""
_TOO_OLD = 132
"""MQTT 5's reason for a version that the broker does not speak."""


def tell(broker: Broker, identifier: str, topics: Sequence[str], patience_s: float = PATIENCE_S) -> bool:
    """Connect to a broker and send an empty message, not retained, to each topic; return whether the broker says what
    it takes, which takes MQTT 5.

    Args:
        identifier: of the connection; a bridge's own would throw that bridge out.

    Raises:
        ProbeError: the broker is not there, lets us not in, or does not take a message; says what, and what to do.
    """
    remedy = "start the broker, or correct bridges.mqtt.broker, ca and certificate"
    reach(broker.host, broker.port, broker.tls, remedy, patience_s)
    try:
        _tell(broker, MQTTProtocolVersion.MQTTv5, identifier, topics, patience_s)
    except _OldBrokerError:
        _tell(broker, MQTTProtocolVersion.MQTTv311, identifier, topics, patience_s)
        return False
    return True


def reach(
    host: str,
    port: int,
    tls: ssl.SSLContext | None = None,
    remedy: str = "start what should answer there, or correct the address",
    patience_s: float = PATIENCE_S,
) -> None:
    """Connect to a machine, and say nothing to it.

    Raises:
        ProbeError: nobody answers, or it is not trusted.
    """
    try:
        with socket.create_connection((host, port), patience_s) as connection:
            if tls is not None:
                tls.wrap_socket(connection, server_hostname=host).close()
    except OSError as e:
        raise ProbeError(_why(e), remedy) from None


class _OldBrokerError(Exception):
    """A broker does not speak MQTT 5."""


def _tell(
    broker: Broker, version: MQTTProtocolVersion, identifier: str, topics: Sequence[str], patience_s: float
) -> None:
    client = Client(CallbackAPIVersion.VERSION2, client_id=identifier, protocol=version)
    client.connect_timeout = patience_s
    if broker.login is not None:
        client.username_pw_set(*broker.login)
    if broker.tls is not None:
        client.tls_set_context(broker.tls)
    answers: queue.SimpleQueue[ReasonCode] = queue.SimpleQueue()

    def connected(_: Client, __: object, ___: object, reason: ReasonCode, ____: Properties | None) -> None:
        answers.put(reason)

    def published(_: Client, __: object, ___: int, reason: ReasonCode, ____: Properties) -> None:
        answers.put(reason)

    def ended(_: Client, __: object, ___: object, reason: ReasonCode, ____: Properties | None) -> None:
        answers.put(reason)

    client.on_connect, client.on_publish, client.on_disconnect = connected, published, ended
    try:
        client.connect(broker.host, broker.port)
    except OSError as e:
        raise ProbeError(_why(e), "look into the broker's log") from None
    client.loop_start()
    try:
        reason = _next(answers, patience_s, "takes the connection, and says nothing")
        if version == MQTTProtocolVersion.MQTTv5 and reason.value == _TOO_OLD:
            raise _OldBrokerError
        if reason.is_failure:
            raise ProbeError(f"lets us not in: {reason}", "correct login and certificate, or the broker's list")
        for topic in topics:
            client.publish(topic, b"", qos=1)
            reason = _next(answers, patience_s, f"does not take a message on {topic}, nor refuses it")
            if reason.is_failure:
                raise ProbeError(
                    f"does not take {topic}: {reason}", f"let the login write below {topic.split('/')[0]}/"
                )
    finally:
        with suppress(OSError, ValueError):
            client.disconnect()
        client.loop_stop()


def _next(answers: queue.SimpleQueue[ReasonCode], patience_s: float, silence: str) -> ReasonCode:
    try:
        return answers.get(timeout=patience_s)
    except queue.Empty:
        raise ProbeError(f"{silence} for {patience_s:g} s", "look into the broker's log") from None


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS fails: {(error.reason or 'the connection was ended').lower().replace('_', ' ')}"
    return "does not answer" if isinstance(error, TimeoutError) else error.strerror or str(error)

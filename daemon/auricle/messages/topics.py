"""The topics are named here, with what is said on each and an example; the schema and the docs are made from all
that."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from auricle.messages import published, questions

EXAMPLES = Path(__file__).with_name("examples.jsonl")
"""One message of every topic, as a daemon has sent them."""
SCHEMA = Path(__file__).with_name("messages.schema.json")


@dataclass(frozen=True)
class Topic:
    """Describes a family of topics, one for every source (and label)."""

    name: str
    kind: type[published.AnyMessage]
    when: str


TOPICS = (
    Topic(
        "event.<source>.<label>.", published.Event, "at onset, every `publish.update_interval_s` after it, at offset"
    ),
    Topic("score.<source>.", published.Scores, "every decision, or every `publish.score_interval_ms`"),
    Topic(
        "spectrum.<source>.",
        published.Spectrum,
        "every quarter of a second, with `spectrum.enabled`, while a subscription begins with `spectrum.`",
    ),
    Topic("gap.<source>.", published.Gap, "when it is known how much was lost"),
    Topic("status.<source>.", published.Status, "when it happens; of the daemon itself, on `status.`"),
    Topic("mark.<source>.", published.Mark, "when somebody asks for it; without a source, on `mark.`"),
    Topic(
        "clip.<source>.<label>.",
        published.Clip,
        "with `clips.enabled`, when the file is closed: never before the event's onset, mostly after its offset",
    ),
    Topic("health.", published.Health, "once a second"),
)


FLEETING = ("score.", "spectrum.", "health.")
"""The topics of messages that nobody keeps, since the next one says it all."""
ON_REQUEST = "spectrum."
"""Topics that begin so are published while somebody's subscription begins so too: one for everything does not ask."""


def part(name: str) -> str:
    """Write a name as one part of a topic: everything but letters, digits, ``_`` and ``-`` percent-escaped (RFC 3986).

    The dot is escaped as well, so no name can reach into another's topic.
    """
    plain = name.isascii() and name.replace("_", "a").replace("-", "a").isalnum()
    return name if plain else "".join(_escape(byte) for byte in name.encode())


def _escape(byte: int) -> str:
    char = chr(byte)
    return char if byte < 128 and (char.isalnum() or char in "_-") else f"%{byte:02X}"


def topic(kind: str, *parts: str | None) -> str:
    """Write a topic as ``kind.part.part.``; each part ends in a dot, so that a prefix never reaches into a longer
    name."""
    return "".join(f"{part(name)}." for name in (kind, *parts) if name is not None)


def topic_of(message: published.AnyMessage) -> str:
    """Return the exact topic on which a message was sent."""
    if isinstance(message, published.Event):
        return topic("event", message.source, message.label)
    if isinstance(message, published.Clip):
        return topic("clip", message.source, message.label)
    return topic(_tag(type(message)), message.source)


def schema() -> dict[str, Any]:
    """Describe the contract as JSON Schema (2020-12): at the top any published message; questions and answers in
    ``$defs``."""
    kinds = (published.AnyMessage, questions.AnyQuestion, questions.AnyAnswer)
    (message, question, answer), definitions = msgspec.json.schema_components(kinds, ref_template="#/$defs/{name}")
    for topic in TOPICS:
        # msgspec takes what has a default for optional; it is always there.
        definition = definitions[topic.kind.__name__]
        definition["properties"]["v"]["const"] = published.VERSION
        definition["required"].insert(1, "v")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:auricle:messages:{published.VERSION}",
        "title": f"Auricle's messages, version {published.VERSION}",
        **message,
        "$defs": {**definitions, "Question": question, "Answer": answer},
    }


def schema_text() -> str:
    """Write the schema as it lies in the package."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


def examples() -> dict[str, bytes]:
    """Return an example's payload by the name of its topic family."""
    kinds = {str(topic.kind.__struct_config__.tag): topic.name for topic in TOPICS}
    lines = EXAMPLES.read_bytes().splitlines()
    return {kinds[msgspec.json.decode(line)["type"]]: line for line in lines}


def print_topics(*, as_schema: bool) -> int:
    """Print the topics, or the schema; return the exit code."""
    print(schema_text() if as_schema else "\n\n".join(_paragraphs()), end="" if as_schema else "\n")
    return 0


def _paragraphs() -> Iterator[str]:
    shown = examples()
    for topic in TOPICS:
        yield f"{topic.name}\n  {_meaning(topic.kind)}\n  Sent {topic.when}.\n  {shown[topic.name].decode()}"


def page() -> str:
    """Write the part of docs/messages.md that is made from the contract."""
    definitions = schema()["$defs"]
    shown = examples()
    text = ["| topic | type | what | when |", "|-|-|-|-|"]
    for topic in TOPICS:
        kind = topic.kind.__name__
        text.append(
            f"| `{topic.name}` | [{_tag(topic.kind)}](#{kind.lower()}) | {_meaning(topic.kind)} | {topic.when} |"
        )
    text.append("\nEvery message says:\n")
    text += _table(published.Message, definitions["Scores"], ())
    for topic in TOPICS:
        kind = topic.kind.__name__
        text.append(f"\n### {kind}\n\n`{topic.name}`: {_meaning(topic.kind)}\n")
        text += _table(topic.kind, definitions[kind], published.Message.__struct_fields__)
        text.append(f"\n```json\n{json.dumps(json.loads(shown[topic.name]), indent=2, ensure_ascii=False)}\n```")
    text.append("\n### SourceHealth\n\nIn `health`, by source.\n")
    text += _table(published.SourceHealth, definitions["SourceHealth"], ())
    return "\n".join(text) + "\n"


def _table(kind: type[msgspec.Struct], definition: Mapping[str, Any], known: tuple[str, ...]) -> list[str]:
    rows = ["| key | kind | meaning |", "|-|-|-|"]
    for name in kind.__struct_fields__:
        if name not in known:
            said = definition["properties"][name]
            there = "" if name in definition["required"] or name == "v" else "; may be absent"
            rows.append(f"| `{name}` | {_kind(said)}{there} | {said.get('description', '')} |")
    return rows


def _kind(said: Mapping[str, Any]) -> str:
    if "anyOf" in said:
        return " or ".join(dict.fromkeys(_kind(choice) for choice in said["anyOf"]))
    if "$ref" in said:
        name = said["$ref"].removeprefix("#/$defs/")
        return "`{name, hash}`" if name == "Model" else name
    if "enum" in said:
        return ", ".join(f"`{value}`" for value in said["enum"])
    if "additionalProperties" in said:
        return f"object of {_kind(said['additionalProperties'])}"
    if said.get("contentEncoding") == "base64":
        return "base64"
    bounds = f" {said['minimum']} to {said['maximum']}" if {"minimum", "maximum"} <= set(said) else ""
    return f"{said['type']}{bounds}"


def _tag(kind: type[msgspec.Struct]) -> str:
    return str(kind.__struct_config__.tag)


def _meaning(kind: type[msgspec.Struct]) -> str:
    return " ".join((kind.__doc__ or "").split())

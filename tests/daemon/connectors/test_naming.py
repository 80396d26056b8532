"""Names of any kind become slugs that no other name has."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from auricle.connectors.naming import slug
from auricle.connectors.topics import Topics

NAMES = st.text() | st.text("aA-_0é+/#$ \0😀", min_size=0, max_size=100) | st.from_regex(r"[a-z]{1,5}-[0-9a-f]{8}")


@given(name=NAMES)
def test_a_slug_is_a_word_and_stays(name: str) -> None:
    """A slug is letters, digits, `_` and `-`, 64 at most, and the same every time; a plain name is its own."""
    found = slug(name)
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", found)
    assert slug(name) == found
    if re.fullmatch(r"[A-Za-z0-9_]{1,64}", name):
        assert found == name


@given(one=NAMES, other=NAMES)
def test_two_names_have_two_slugs(one: str, other: str) -> None:
    """Names that differ have slugs that differ, also a name that looks like another's slug."""
    assert (slug(one) == slug(other)) == (one == other)
    assert slug(slug(one)) != slug(one) or slug(one) == one


@given(source=NAMES, label=NAMES)
def test_no_name_reaches_into_another_topic(source: str, label: str) -> None:
    """Whatever source and label are called, their topics have as many parts as they should, and no wildcard."""
    topics = Topics("house/auricle", "+/#")
    for topic, parts in ((topics.of(source, "event"), 5), (topics.state(source, label), 6), (topics.status, 4)):
        assert len(topic.split("/")) == parts
        assert not set("+#\0") & set(topic)
        assert topic.startswith(topics.base)

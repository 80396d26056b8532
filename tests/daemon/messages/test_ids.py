"""Identifiers: unlike each other, of the form that the contract names, in the order of time."""

from __future__ import annotations

import time
from uuid import RFC_4122

from auricle.messages.ids import uuid7


def test_identifiers_are_of_version_7_and_tell_when() -> None:
    """The version and variant of RFC 9562, its milliseconds those of the clock, and no two alike."""
    before_ms = time.time_ns() // 1_000_000
    made = [uuid7() for _ in range(2000)]
    after_ms = time.time_ns() // 1_000_000
    assert {each.version for each in made} == {7}
    assert {each.variant for each in made} == {RFC_4122}
    assert len(set(made)) == len(made)
    times_ms = [each.int >> 80 for each in made]
    assert times_ms == sorted(times_ms)
    assert before_ms <= times_ms[0] <= times_ms[-1] <= after_ms


def test_all_other_bits_are_chance() -> None:
    """Each of the 74 random bits is set in about half of the identifiers."""
    made = [uuid7().int for _ in range(4000)]
    shares = [sum(each >> bit & 1 for each in made) / len(made) for bit in range(80)]
    fixed = {62: 0.0, 63: 1.0, 76: 1.0, 77: 1.0, 78: 1.0, 79: 0.0}
    assert {bit: shares[bit] for bit in fixed} == fixed
    assert all(0.4 < share < 0.6 for bit, share in enumerate(shares) if bit not in fixed)

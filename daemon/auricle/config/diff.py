"""Two configurations are compared here: what changes from one to the next, and when each change can take effect."""

from __future__ import annotations

from typing import Any

from auricle.config.keys import Effect, held, keys_of
from auricle.config.schema import Config


def diff(old: Config, new: Config) -> dict[str, Effect]:
    """Return the effect by key path for every key whose value differs.

    Sources are known by name: ``sources[porch]`` alone is one that comes, goes or becomes another kind of source,
    ``sources[porch].gate.sensitivity`` a change in one that stays. A change that a source takes over from the keys at
    the top stands there only.
    """
    before, after = _flat(old, ""), _flat(new, "")
    found = _changes(before, after)
    sources = {source.name: source for source in old.sources}, {source.name: source for source in new.sources}
    for name in [*sources[0], *(name for name in sources[1] if name not in sources[0])]:
        path = f"sources[{name}]"
        was, will = sources[0].get(name), sources[1].get(name)
        if was is None or will is None or was.kind != will.kind:
            found[path] = "segment"
            continue
        own_before, own_after = _flat(was, ""), _flat(will, "")
        for key, effect in _changes(own_before, own_after).items():
            inherited = key in found and (own_before.get(key), own_after.get(key)) == (before.get(key), after.get(key))
            if not inherited:
                found[f"{path}.{key}"] = effect
    return found


def effects(old: Any, new: Any) -> set[Effect]:
    """Return the effects of the keys that differ between two sections of one kind."""
    return set(_changes(_flat(old, ""), _flat(new, "")).values())


def _changes(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Effect]:
    """Compare flat values; a path that is on one side only is a label's rule, which is None where it is absent."""
    paths = [*before, *(path for path in after if path not in before)]
    none = (None, None)
    return {
        path: (after if path in after else before)[path][1]
        for path in paths
        if before.get(path, none)[0] != after.get(path, none)[0]
    }


def _flat(of: Any, path: str) -> dict[str, tuple[Any, Effect]]:
    """Return value and effect by key path, of everything but the sources."""
    found: dict[str, tuple[Any, Effect]] = {}
    for name, about in keys_of(type(of)).items():
        value, at = held(of, name), f"{path}{name}"
        if about.section is None:
            found[at] = (value, about.effect)
        elif about.many == "labels":
            for label, rule in value.items():
                found |= _flat(rule, f"{at}.{label}.")
        elif about.many != "list" and value is not None:
            found |= _flat(value, f"{at}.")
    return found

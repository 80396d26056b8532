"""`auricle teach`: a label of one's own from twenty clips, beside those that the model has."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from auricle.errors import UsageError
from auricle.terminal import options, text
from auricle.terminal.options import ConfigFile, Json, KeyFile, ModelName, QueryEndpoint
from auricle.terminal.progress import bar

if TYPE_CHECKING:
    from auricle.config import Config
    from auricle.model.bundle import Bundle

Name = Annotated[str | None, typer.Argument(metavar="NAME", help="The label: small letters, digits and '_'.")]
More = Annotated[
    list[str] | None, typer.Argument(metavar="[CLIP]...", help="Further clips, as a shell's * gives them.")
]
Clips = Annotated[
    list[str] | None,
    typer.Option("--clips", metavar="PATH", help="A clip of the sound, or a folder of such; repeatable."),
]
Not = Annotated[
    list[str] | None, typer.Option("--not", metavar="PATH", help="Clips of what it is easily taken for; repeatable.")
]
KindOf = Annotated[
    list[str] | None,
    typer.Option("--kind-of", metavar="LABEL", help="Of which label of the model it is a kind; repeatable."),
]
RoomFile = Annotated[
    Path | None,
    typer.Option("--room", metavar="FILE", help="A recording of the room without the sound: minutes, or an hour."),
]
Again = Annotated[bool, typer.Option("--again", help="Teach it anew, from the clips of last time unless told.")]
Listed = Annotated[bool, typer.Option("--list", help="List the labels that were taught.")]
Marks = Annotated[bool, typer.Option("--from-marks", help="From the daemon's clips that were marked.")]
Anyway = Annotated[bool, typer.Option("--anyway", help="Take clips that are nothing like the others, too.")]
Record = Annotated[
    int | None,
    typer.Option("--record", metavar="N", help="First record so many clips, into the folder of --clips."),
]
Seconds = Annotated[float, typer.Option("--seconds", help="How long each of them is.")]
Source = Annotated[str | None, typer.Option("--source", help="Which source records; the only one unless told.")]
Report = Annotated[Path | None, typer.Option("--report", metavar="DIR", help="Draw into this folder what was learned.")]


def command(
    name: Name = None,
    more: More = None,
    clips: Clips = None,
    others: Not = None,
    kind_of: KindOf = None,
    room: RoomFile = None,
    record: Record = None,
    seconds: Seconds = 3.0,
    source: Source = None,
    again: Again = False,
    listed: Listed = False,
    from_marks: Marks = False,
    anyway: Anyway = False,
    report: Report = None,
    model: ModelName = None,
    query: QueryEndpoint = None,
    key: KeyFile = None,
    json: Json = False,
    config: ConfigFile = None,
) -> int:
    """Teach a label, or list those that were taught; return the exit code."""
    from auricle.service import folder as folders
    from auricle.service import rooms
    from auricle.teach import course, pictures, shelf

    cfg = options.load(config, model)
    if listed:
        return _list(cfg, json=json)
    if name is None:
        raise UsageError("teach: which label? auricle teach NAME --clips FOLDER, or auricle teach --list")
    if re.fullmatch("[a-z][a-z0-9_]*", name) is None:
        raise UsageError(f"teach: {name!r} is no label; use small letters, digits and '_', as garden_gate")
    if report is not None:
        _able_to_draw()
    folder = options.models_dir(cfg, "teach")
    sounds, none = [*(clips or []), *(more or [])], [*(others or [])]
    if from_marks:
        from auricle.commands import marked

        right, false = marked.taught_by(name, *options.reach(query, key, config), marked.clips_folder(None, config))
        sounds, none = sounds + right, none + false
    remembered = folders.found(rooms.FOLDER) if cfg.room.keep_h else None
    given = course.Material(sounds, none, room, kind_of or [], remembered)
    base = _base(cfg, folder)
    if record is not None:
        from auricle.commands import takes

        if len(given.clips) != 1 or Path(given.clips[0]).is_file():
            raise UsageError("--record: into which folder? name one, --clips FOLDER")
        takes.record_clips(cfg, base, name, Path(given.clips[0]), record, seconds, source)
    with bar(f"teaching {name}", shown=not json) as progress:
        taught = course.run(base, name, given, folder, again=again, anyway=anyway, progress=progress)
    if report is not None:
        pictures.draw(taught, report)
    if json:
        print(msgspec.json.encode(taught.told()).decode())
        return 0
    for line in taught.lines():
        text.say(line)
    if report is not None:
        text.say(f"pictures: {report}")
    if shelf.name_of(cfg.model) != cfg.model:
        text.say(f"hear it: set model: {taught.bundle.card.name} in the configuration (SIGHUP reloads it)")
    return 0


def _base(cfg: Config, folder: Path) -> Bundle:
    """Return the bundle to teach: that which carries labels upon the configured model, or the model itself."""
    from auricle.teach import shelf

    own = folder / shelf.name_of(Path(cfg.model).name)
    if (own / "card.yaml").is_file():
        from auricle.model import bundle

        return bundle.load(str(own), first=options.trials())
    return options.model_of(cfg)


def _list(cfg: Config, *, json: bool) -> int:
    from auricle.model import bundle
    from auricle.teach import shelf

    rows: list[dict[str, Any]] = []
    for name, path in sorted(bundle.names(cfg.models_dir).items()):
        if bundle.card_of(str(path)).heads is None:
            continue
        opened = bundle.load(str(path), first=options.trials())
        for label in shelf.labels(opened):
            measured = opened.card.measured.get(label, "")
            rows.append({"label": label, "model": name, "measured": measured, "newer": shelf.newer(opened)})
    for row in rows:
        if json:
            print(msgspec.json.encode(row).decode())
            continue
        renew = f"; {row['newer']} ships anew, auricle teach {row['label']} --again" if row["newer"] else ""
        text.say(f"{row['label']:24} {row['model']:16} {row['measured']}{renew}")
    if not rows and not json:
        text.say("none was taught yet: auricle teach NAME --clips FOLDER")
    return 0


def _able_to_draw() -> None:
    from auricle.errors import MissingError
    from auricle.judge import plots

    if not plots.available():
        raise MissingError(f"--report: {plots.MISSING}")

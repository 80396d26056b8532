"""The command line: what can be asked for; each command imports what it needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auricle import __version__
from auricle.commands import config as configuration

if TYPE_CHECKING:
    from auricle.config import Config

app = typer.Typer(
    name="auricle",
    help="Auricle listens: live sound in, named events out over ZeroMQ.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(configuration.app, name="config")

ConfigFile = Annotated[
    Path | None, typer.Option("--config", "-c", help="The configuration; /etc/auricle/auricle.yaml unless told.")
]
ModelName = Annotated[
    str | None, typer.Option("--model", help="A model's name (see auricle models) or a bundle's folder.")
]
Paths = Annotated[list[str], typer.Argument(metavar="PATH...", help="Recordings: files, folders or globs.")]
Json = Annotated[bool, typer.Option("--json", help="JSON lines on standard output.")]
Endpoint = Annotated[str | None, typer.Option(help="Where the daemon publishes; publish.endpoint unless told.")]
Query = Annotated[str | None, typer.Option("--endpoint", help="Where the daemon answers; publish.query unless told.")]


def _load(path: Path | None, model: str | None = None, *, without: Path | None = None) -> Config:
    """Read the configuration, with the model that the command line names over it."""
    from auricle import config

    return config.load(path, overrides={"model": model}, without=without)


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        print(f"auricle {__version__}")
        raise typer.Exit


@app.command()
def run(config: ConfigFile = None, model: ModelName = None) -> None:
    """Run the daemon: listen to every source and publish what is heard."""
    from auricle.service import life

    raise typer.Exit(life.main(config, model))


@app.command()
def replay(
    paths: Paths,
    speed: Annotated[str, typer.Option(help="1 is real time, 10 ten times as fast, max as fast as possible.")] = "1",
    loop: Annotated[bool, typer.Option("--loop", help="Begin again at the end, for ever.")] = False,
    json: Json = False,
    no_publish: Annotated[bool, typer.Option("--no-publish", help="Print only; open no socket.")] = False,
    start_time: Annotated[
        str | None, typer.Option(help="When the first recording began, such as 2026-03-01T06:30Z.")
    ] = None,
    config: ConfigFile = None,
    model: ModelName = None,
) -> None:
    """Replay recordings as a fake stream through the daemon's own pipeline."""
    from auricle.commands import replay as replays
    from auricle.model import bundle
    from auricle.service import logs

    cfg = _load(config, model)
    logs.set_up(cfg.log, least="warning")
    options = replays.Options(
        speed=replays.parse_speed(speed),
        loop=loop,
        json=json,
        publish=not no_publish,
        start_us=None if start_time is None else replays.parse_start(start_time),
    )
    raise typer.Exit(replays.replay(paths, cfg, bundle.load(cfg.model, cfg.models_dir), options))


@app.command()
def classify(paths: Paths, json: Json = False, config: ConfigFile = None, model: ModelName = None) -> None:
    """Say of each recording what it is, as a whole."""
    from auricle.commands import classify as classifies
    from auricle.model import bundle

    cfg = _load(config, model)
    raise typer.Exit(classifies.classify(paths, cfg, bundle.load(cfg.model, cfg.models_dir), json=json))


@app.command()
def listen(
    topics: Annotated[
        list[str] | None, typer.Argument(metavar="[TOPIC]...", help="Prefixes such as event. or event.porch.")
    ] = None,
    endpoint: Endpoint = None,
    json: Json = False,
    config: ConfigFile = None,
) -> None:
    """Subscribe to a running daemon and show what it says."""
    from auricle.commands import listen as listens

    raise typer.Exit(listens.listen(endpoint or _load(config).publish.endpoint, topics or [""], json=json))


@app.command()
def status(query: Query = None, json: Json = False, config: ConfigFile = None) -> None:
    """Ask the daemon whether it hears: exit 0 if so, 1 if not all is well, 69 if there is none."""
    from auricle.commands import status as statuses

    raise typer.Exit(statuses.print_status(query or _load(config).publish.query, json=json))


@app.command()
def events(
    since: Annotated[str | None, typer.Option(help="Such as 1h, 2d or 2026-03-01T06:30; all unless told.")] = None,
    label: Annotated[str | None, typer.Option(help="Only events of this label.")] = None,
    source: Annotated[str | None, typer.Option(help="Only events of this source.")] = None,
    query: Query = None,
    json: Json = False,
    csv: Annotated[bool, typer.Option("--csv", help="Comma-separated values, with a header.")] = False,
    config: ConfigFile = None,
) -> None:
    """Ask the daemon for the events of the past."""
    from auricle.commands import events as past

    endpoint = query or _load(config).publish.query
    raise typer.Exit(past.print_events(endpoint, since=since, label=label, source=source, json=json, as_csv=csv))


@app.command()
def mark(
    text: Annotated[str, typer.Argument(help="What to remember of this moment.")],
    label: Annotated[str | None, typer.Option(help="What it really was.")] = None,
    source: Annotated[str | None, typer.Option(help="Which source is meant.")] = None,
    query: Query = None,
    config: ConfigFile = None,
) -> None:
    """Mark this moment in the daemon's stream and history."""
    from auricle.commands import status as statuses

    raise typer.Exit(statuses.mark(query or _load(config).publish.query, text, label=label, source=source))


@app.command()
def topics(
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of every message.")] = False,
) -> None:
    """List every topic: what is said there, when, and an example."""
    from auricle.messages import topics as known

    raise typer.Exit(known.print_topics(as_schema=schema))


@app.command()
def demo(
    out: Annotated[Path | None, typer.Option(help="Only write the scene to this WAV file.")] = None,
) -> None:
    """Hear a synthesised scene through the daemon and a subscriber: does it all work here?"""
    from auricle.commands import demo as demos

    if out is not None:
        for part in demos.write_scene(out, 16_000):
            print(f"{part.onset_s:5.1f} s  {part.label}")
        raise typer.Exit
    raise typer.Exit(demos.demo())


@app.command()
def bench(
    json: Json = False,
    seconds: Annotated[float, typer.Option(min=1, help="Seconds of sound for every measurement.")] = 10.0,
    config: ConfigFile = None,
    model: ModelName = None,
) -> None:
    """Measure what this machine can carry with this configuration."""
    from auricle.commands import bench as benches
    from auricle.model import bundle
    from auricle.service import logs

    cfg = _load(config, model)
    logs.set_up(cfg.log, least="error")
    raise typer.Exit(benches.bench(cfg, bundle.load(cfg.model, cfg.models_dir), seconds=seconds, json=json))


Truth = Annotated[
    Path | None,
    typer.Option(help="What is in the recordings: a truth file (ours, Raven, Audacity), or the folder of several."),
]
Negatives = Annotated[
    list[str] | None, typer.Option(metavar="PATH", help="Recordings without any event; may be repeated.")
]
Scores = Annotated[Path | None, typer.Option("--cache", help="Keep scores in this folder, to be found the next time.")]


@app.command()
def evaluate(
    paths: Annotated[list[str] | None, typer.Argument(metavar="[RECORDING]...", help="Files, folders, globs.")] = None,
    truth: Truth = None,
    negatives: Negatives = None,
    json: Json = False,
    report: Annotated[Path | None, typer.Option(help="Write Markdown, JSON and curves into this folder.")] = None,
    cache: Scores = None,
    config: ConfigFile = None,
    model: ModelName = None,
) -> None:
    """Judge the daemon's decisions on recordings whose truth is known."""
    from auricle.commands import evaluate as evaluates
    from auricle.model import bundle

    cfg = _load(config, model)
    opened = bundle.load(cfg.model, cfg.models_dir)
    code = evaluates.command(
        paths or (),
        cfg,
        opened,
        truth_path=truth,
        negatives=negatives or (),
        json=json,
        report=report,
        cache=cache,
    )
    raise typer.Exit(code)


@app.command()
def tune(
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RECORDING]...", help="Your own; without --truth: nothing is in them."),
    ] = None,
    false_alarms_per_hour: Annotated[
        float, typer.Option("--false-alarms-per-hour", help="The budget, all labels together.")
    ] = 0.5,
    label: Annotated[
        list[str] | None, typer.Option(metavar="LABEL=RATE", help="A tighter budget for a label; may be repeated.")
    ] = None,
    truth: Truth = None,
    negatives: Negatives = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print conf.d/50-tuned.yaml instead of writing it.")
    ] = False,
    json: Json = False,
    plot: Annotated[Path | None, typer.Option(help="Draw the curves into this picture.")] = None,
    cache: Scores = None,
    config: ConfigFile = None,
    model: ModelName = None,
) -> None:
    """Find thresholds that keep a budget of false alarms, from recordings of your own."""
    from auricle.commands import tune as tunes
    from auricle.model import bundle

    cfg = _load(config, model, without=tunes.fragment_beside(config))
    opened = bundle.load(cfg.model, cfg.models_dir)
    code = tunes.command(
        paths or (),
        cfg,
        opened,
        config_file=config,
        truth_path=truth,
        negatives=negatives or (),
        per_hour=false_alarms_per_hour,
        own=label or (),
        dry_run=dry_run,
        json=json,
        plot=plot,
        cache=cache,
    )
    raise typer.Exit(code)


@app.command()
def features(
    path: Annotated[str, typer.Argument(metavar="FILE", help="A recording.")],
    kind: Annotated[
        list[str],
        typer.Option(help="mel, log_mel, pcen, mfcc, chroma_stft, chroma_cqt or chroma_cens; several are stacked."),
    ],
    out: Annotated[Path | None, typer.Option(help="Write the features to this .npz file.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw them into this picture.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A parameter, as n_mels=64 or mfcc.n_mfcc=13."),
    ] = None,
    rate: Annotated[int | None, typer.Option(min=1000, help="Resample to this rate, Hz.")] = None,
    n_fft: Annotated[int, typer.Option(help="Samples in a frame.")] = 2048,
    win_length: Annotated[int | None, typer.Option(help="Samples under the taper; n_fft unless told.")] = None,
    hop_length: Annotated[int, typer.Option(help="Samples from frame to frame.")] = 512,
    pre_emphasis: Annotated[float | None, typer.Option(help="Pre-emphasis before all, as 0.97.")] = None,
    taper: Annotated[str, typer.Option(help="hann, hann_symmetric, hamming or hamming_symmetric.")] = "hann",
    align: Annotated[str, typer.Option(help="Where a shorter taper stands in the FFT: centre or start.")] = "centre",
    remove_dc: Annotated[bool, typer.Option("--remove-dc", help="Take its mean from every frame.")] = False,
    noise: Annotated[Path | None, typer.Option(help="Put the noise gate before, with this profile.")] = None,
) -> None:
    """Compute the features of a recording, as the daemon does."""
    from auricle.commands import features as extraction

    print(
        extraction.features_file(
            path,
            kind,
            out=out,
            plot=plot,
            params=set_ or (),
            sample_rate=rate,
            n_fft=n_fft,
            win_length=win_length,
            hop_length=hop_length,
            pre_emphasis=pre_emphasis,
            taper=taper,
            align=align,
            remove_dc=remove_dc,
            noise_profile=noise,
        )
    )


@app.command()
def noise(
    out: Annotated[Path, typer.Option(help="The profile to write, for gate.noise_profile.")],
    from_: Annotated[str | None, typer.Option("--from", metavar="FILE", help="A recording of the noise alone.")] = None,
    device: Annotated[str, typer.Option(help="Else this microphone: default, a name, a number.")] = "default",
    seconds: Annotated[
        float | None, typer.Option(help="How much; 5 of a microphone, up to a minute of a recording.")
    ] = None,
) -> None:
    """Record a room's noise, for the gate to take away. The profile holds the sound itself."""
    from auricle.commands import noise as recording

    if from_ is not None:
        print(recording.noise_of_file(from_, out=out, seconds=seconds))
        return
    heard = int(device) if device.isdecimal() else device
    print(recording.noise_of_microphone(heard, out=out, seconds=seconds))


@app.command()
def devices(
    meter: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Show the level of this one: default, a name, a number."),
    ] = None,
    seconds: Annotated[float | None, typer.Option(help="End the meter by itself.")] = None,
    json: Json = False,
) -> None:
    """List the microphones that can be heard, with their rates."""
    from auricle.commands import devices as heard

    if meter is None:
        raise typer.Exit(heard.print_devices(as_json=json))
    device = int(meter) if meter.isdecimal() else meter
    raise typer.Exit(heard.meter(device, seconds=seconds, as_json=json))


@app.command()
def doctor(json: Json = False, config: ConfigFile = None) -> None:
    """Look this machine over: each line is ok, or says what to do; exit 1 if something is to be mended."""
    from auricle.commands import doctor as doctors

    raise typer.Exit(doctors.doctor(lambda: _load(config), as_json=json))


@app.command()
def models(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A model, or a bundle's folder: its labels and their rules.")
    ] = None,
    json: Json = False,
    config: ConfigFile = None,
) -> None:
    """List the models that can be used by name, or every label of one of them with its rule."""
    from auricle.commands import models as catalogue

    models_dir = _load(config).models_dir
    if name is None:
        raise typer.Exit(catalogue.print_models(models_dir, json=json))
    raise typer.Exit(catalogue.print_model(name, models_dir, json=json))

"""
The command line: arguments in, one exit code out. What a command needs is imported by it alone.

A user's mistake is one line on stderr and never a traceback; a traceback is a fault of monitord's.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys

from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from monitord import __version__
from monitord.errors import MonitordError, SettingsError


if TYPE_CHECKING:
    import asyncio

    from monitord.settings import Settings

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


OK = 0
FAILED = 1
USAGE = 2
MISSING = 3

EXIT_CODES = """\
exit codes:
  0  done, or stopped by SIGINT or SIGTERM
  1  check or spool found something that is not as it should be, or monitord failed
  2  a mistake in the settings or on the command line
  3  something monitord needs is not there or refuses: its store, a server program, a folder
  128 + n  ended at once by the second signal n
"""

DEFAULT_CONFIG = Path("/etc/monitord/monitord.yaml")

# See `_settle_runtime`.
SWITCH_SECONDS = 0.0005

Work = Callable[["asyncio.Event"], Awaitable[None]]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code. Raises SystemExit: wrong usage, or --help."""
    arguments = parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = arguments.command
    try:
        return command(arguments)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:  # the reader of our output, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except Exception as error:  # noqa: BLE001 - the outermost border: told apart, told, exit code
        return _failed(error)


def parser() -> argparse.ArgumentParser:
    """Return the parser of every command; each sets `command` to its function."""
    top = argparse.ArgumentParser(
        prog="monitord",
        description="A monitoring sidecar: one process beside a web application.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"monitord {__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    for name, function, sentence, has_config in (
        ("run", _run, "watch, take in, store and show, until stopped", True),
        (
            "check",
            _check,
            "read the settings, try the store and every target, say what mends",
            True,
        ),
        ("demo", _demo, "run a sample shop under traffic, with monitord beside it", False),
        ("migrate", _migrate, "bring the store's schema up to date", True),
        ("version", _version, "print the version", False),
    ):
        sub = _add(commands, name, function, sentence)
        if has_config:
            _add_config(sub)
    _add_spool(commands)
    return top


def _add(
    commands: Commands, name: str, function: Callable[[argparse.Namespace], int], sentence: str
) -> argparse.ArgumentParser:
    added = commands.add_parser(
        name,
        help=sentence,
        description=f"{sentence[0].upper()}{sentence[1:]}.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    added.set_defaults(command=function)
    return added


def _add_config(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        help=f"the settings (else $MONITORD_CONFIG, else {DEFAULT_CONFIG} if it exists)",
    )


def _add_spool(commands: Commands) -> None:
    spool = _add(commands, "spool", _spool, "look into the spool, send what was refused again")
    parts = spool.add_subparsers(metavar="COMMAND", required=True, dest="part")
    inspect = _add(parts, "inspect", _spool, "show what is in the spool and whether it is sound")
    letters = _add(parts, "dead-letters", _spool, "list the events that the store has refused")
    replay = _add(
        parts, "replay", _spool, "send the refused events again; monitord must be stopped"
    )
    for part in (inspect, letters, replay):
        _add_config(part)
    for part in (inspect, letters):
        part.add_argument("--json", action="store_true", help="print one JSON document")
    letters.add_argument(
        "--limit", metavar="N", type=_count, default=20, help="list the newest N only (20)"
    )
    replay.add_argument(
        "--dry-run", action="store_true", help="only say what would be sent; monitord may run"
    )


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise argparse.ArgumentTypeError(f"expected a number from 0, got {text[:40]!r}")
    return int(text)


def _run(arguments: argparse.Namespace) -> int:
    settings = _settings(arguments)

    import structlog

    from monitord import logs, service

    logs.configure(settings.log)
    log = structlog.get_logger("monitord")
    log.info("monitord.starting", version=__version__, settings=str(settings.source or "defaults"))
    for warning in settings.warnings:
        log.warning("settings.unwise", text=warning)

    async def work(stop: asyncio.Event) -> None:
        await service.serve(settings, stop=stop, ready=lambda _: _settle_runtime())

    return _until_signal(work)


def _check(arguments: argparse.Namespace) -> int:
    settings = _settings(arguments)

    import asyncio

    from monitord import checks, logs
    from monitord.settings import LogSettings

    logs.configure(LogSettings(level="error"))
    findings = asyncio.run(checks.check(settings))
    for line in checks.lines(settings, findings):
        print(line)
    return OK if all(finding.complete for finding in findings) else FAILED


def _demo(_: argparse.Namespace) -> int:
    from monitord import logs, service
    from monitord.demo import run as demo
    from monitord.settings import LogSettings

    logs.configure(LogSettings(level="warning"))

    async def work(stop: asyncio.Event) -> None:
        await demo.run(os.environ, service.serve, stop)

    return _until_signal(work)


def _migrate(arguments: argparse.Namespace) -> int:
    settings = _settings(arguments)

    import asyncio

    from monitord import logs, migration

    logs.configure(settings.log)
    names = asyncio.run(migration.run(settings))
    for name in names:
        print(f"applied {name}")
    print("the schema is up to date")
    return OK


def _spool(arguments: argparse.Namespace) -> int:
    settings = _settings(arguments)

    from monitord import logs, spool_commands
    from monitord.settings import LogSettings

    logs.configure(LogSettings(level="error"))
    answer = spool_commands.COMMANDS[arguments.part](arguments, settings)
    for line in answer.lines:
        print(line)
    return OK if answer.good else FAILED


def _version(_: argparse.Namespace) -> int:
    print(f"monitord {__version__}")
    return OK


def _settings(arguments: argparse.Namespace) -> Settings:
    from monitord.settings_file import load

    path: Path | None = arguments.config
    if path is None and not os.environ.get("MONITORD_CONFIG") and DEFAULT_CONFIG.is_file():
        path = DEFAULT_CONFIG
    return load(path, os.environ)


def _until_signal(work: Work) -> int:
    """Run `work` on the fastest loop there is; SIGINT, SIGTERM and SIGHUP set its stop event."""
    import asyncio

    try:
        import uvloop
    except ImportError:
        factory = None
    else:
        factory = uvloop.new_event_loop

    async def run() -> None:
        stop = asyncio.Event()
        _watch_signals(stop)
        await work(stop)

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(run())
    return OK


def _watch_signals(stop: asyncio.Event) -> None:
    import asyncio

    def received(number: int) -> None:
        if stop.is_set():
            # Servers we started end with us: they asked the kernel for a signal on our death.
            os._exit(128 + number)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, received, number)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup means it
        loop.add_signal_handler(signal.SIGHUP, received, signal.SIGHUP)


def _settle_runtime() -> None:
    """
    Keep the collector from what lives until the end, and from running at every burst; let no
    thread keep the event loop waiting.

    Measured under a large queue: pauses of 12 ms instead of 30 ms. A call of a socket gives the
    interpreter away, and gets it back from a busy thread after a switch interval, which is 5 ms
    where nobody says otherwise.
    """
    import gc

    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    sys.setswitchinterval(SWITCH_SECONDS)


def _failed(error: Exception) -> int:
    """Tell what went wrong; return the exit code."""
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("monitord"):
        print(
            f"{error.name} is not installed: this installation can only send "
            "(pip install --no-deps); to run monitord: pip install 'monitord[embedded,fast]'",
            file=sys.stderr,
        )
        return MISSING
    leaves = list(_leaves(error))
    if not all(isinstance(leaf, MonitordError) for leaf in leaves):
        import traceback

        traceback.print_exception(error)
        return FAILED
    for leaf in dict.fromkeys(str(leaf) for leaf in leaves):
        print(leaf, file=sys.stderr)
    return USAGE if any(isinstance(leaf, SettingsError) for leaf in leaves) else MISSING


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error

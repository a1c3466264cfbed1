"""The commands of redis-py's clients as spans, and what a cache found of what it was asked."""

from __future__ import annotations

import functools
import importlib

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter_ns
from typing import Any, NamedTuple

from monitord.emit.emitter import Emitter
from monitord.emit.hooks.commands import KEYED, LOOKUPS, found, word
from monitord.emit.hooks.hits import Hits
from monitord.emit.hooks.keys import KeyTypes
from monitord.emit.hooks.patches import Method, Patches, Undo
from monitord.emit.hooks.step import Args, Kwargs, Recorder, Step, tracing


Commands = Sequence[Sequence[Any]]

_patches = Patches()


class Sent(NamedTuple):
    """How a method's call is read: as which commands, and its result as which answers."""

    commands: Callable[[Any, Args], Commands]
    answers: Callable[[Any], Sequence[Any]]


# `client.get(key)`: one command and its answer.
ONE = Sent(lambda client, args: [args], lambda answer: [answer])
# `pipeline.execute()`, which forgets its commands.
STAGED = Sent(lambda client, _: [args for args, _ in client.command_stack], lambda answers: answers)


def watch_redis(emitter: Emitter | None = None, types: Mapping[str, str] | None = None) -> Undo:
    """
    Record the commands of every client and pipeline from now on, and count what was looked up.

    `types` names the type of keys by pattern, `{"session:*": "session"}`; of others it is what
    stands before the first colon. Returns what ends it. A cluster's client is left out, and PubSub.
    """
    _patches.undo()
    watch = Watch(Recorder(emitter), KeyTypes(types))
    _patches.add(watch.hits.stop)
    for library, wrapped in (("client", watch.blocking), ("asyncio.client", watch.awaited)):
        client = importlib.import_module(f"redis.{library}")
        _patches.replace(client.Redis, "execute_command", wrapped(ONE))
        # What a pipeline that watches a key sends at once.
        _patches.replace(client.Pipeline, "immediate_execute_command", wrapped(ONE))
        _patches.replace(client.Pipeline, "execute", wrapped(STAGED))
    return _patches.undo


class Watch:
    """Records what one call sent, and counts what it looked up, traced or not."""

    def __init__(self, recorder: Recorder, types: KeyTypes) -> None:
        self.hits = Hits(recorder.emitter)
        self._recorder = recorder
        self._types = types

    def blocking(self, sent: Sent) -> Callable[[Method], Method]:
        def wrapped(original: Method) -> Method:
            @functools.wraps(original)
            def watched(client: Any, *args: Any, **options: Any) -> Any:
                if not (commands := self._worth(sent, client, args)):
                    return original(client, *args, **options)
                began_ns = perf_counter_ns()
                try:
                    answer = original(client, *args, **options)
                except BaseException as error:
                    self._ended(client, commands, (), began_ns, error)
                    raise
                self._ended(client, commands, sent.answers(answer), began_ns)
                return answer

            return watched

        return wrapped

    def awaited(self, sent: Sent) -> Callable[[Method], Method]:
        def wrapped(original: Method) -> Method:
            @functools.wraps(original)
            async def watched(client: Any, *args: Any, **options: Any) -> Any:
                if not (commands := self._worth(sent, client, args)):
                    return await original(client, *args, **options)
                began_ns = perf_counter_ns()
                try:
                    answer = await original(client, *args, **options)
                except BaseException as error:
                    self._ended(client, commands, (), began_ns, error)
                    raise
                self._ended(client, commands, sent.answers(answer), began_ns)
                return answer

            return watched

        return wrapped

    def _worth(self, sent: Sent, client: Any, args: Args) -> Commands:
        """Return the commands of a call that is to be told of; none of one that is not."""
        try:
            commands = sent.commands(client, args)
            if tracing():
                return commands
            for command in commands:
                if word(command[0]) in LOOKUPS:
                    return commands
        except Exception:  # noqa: BLE001 - what is called wrongly the library itself refuses
            pass
        return ()

    def _ended(
        self,
        client: Any,
        commands: Commands,
        answers: Sequence[Any],
        began_ns: int,
        error: BaseException | None = None,
    ) -> None:
        try:
            hits, misses = self._count(commands, answers)
        except Exception:  # noqa: BLE001 - an answer may be whatever the client was told to make it
            hits = misses = 0
        if tracing():
            about = {"cache.hit": not misses} if len(commands) == 1 and hits + misses else {}
            told = functools.partial(self._told, client, commands, about)
            self._recorder.record(told, (), {}, began_ns, error)

    def _count(self, commands: Commands, answers: Sequence[Any]) -> tuple[int, int]:
        hits = misses = 0
        for command, answer in zip(commands, answers, strict=False):
            for key, here, gone in found(word(command[0]), command[1:], answer):
                self.hits.add(self._types.of(key), here, gone)
                hits, misses = hits + here, misses + gone
        return hits, misses

    def _told(
        self, client: Any, commands: Commands, about: dict[str, Any], args: Args, kwargs: Kwargs
    ) -> Step:
        attributes = {"db.system.name": "redis", **_place(client), **about}
        if len(commands) == 1:
            name, kind = self._named(commands[0])
        else:
            name, kind = _batch(client, commands), None
            attributes["db.operation.batch.size"] = len(commands)
        attributes["db.operation.name"] = name
        if kind is None:
            return name, attributes
        attributes["cache.type"] = kind
        return f"{name} {kind}", attributes

    def _named(self, command: Sequence[Any]) -> tuple[str, str | None]:
        name = word(command[0])
        keyed = name in KEYED and len(command) > 1
        return name, self._types.of(command[1]) if keyed else None


def _batch(client: Any, commands: Commands) -> str:
    # asyncio's has another name for it, and a method by that of the other.
    together = getattr(client, "is_transaction", None)
    name = "MULTI" if together or getattr(client, "transaction", None) is True else "PIPELINE"
    words = {word(command[0]) for command in commands}
    return f"{name} {words.pop()}" if len(words) == 1 else name


def _place(client: Any) -> dict[str, Any]:
    given = client.connection_pool.connection_kwargs
    place: dict[str, Any] = {"db.namespace": str(given.get("db") or 0)}
    if address := given.get("host") or given.get("path"):
        place["server.address"] = address
    if port := given.get("port"):
        place["server.port"] = port
    return place

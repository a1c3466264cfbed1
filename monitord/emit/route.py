"""
The label a request is counted under: its route's template, never its path.

Without one, the path with its variable parts replaced, and only a bounded number of those.
"""

from __future__ import annotations

import re

from collections.abc import Callable, Iterable, Iterator, MutableMapping
from typing import Any


Scope = MutableMapping[str, Any]
# A route and its possible templates: several when one application is mounted in several places.
Cached = tuple[object, tuple[str, ...]]
Cache = dict[int, Cached]

# Requests no route answered, together: scanners must not make a label each.
UNMATCHED = "__unmatched__"
# Paths above MOST_PATHS, together.
OVERFLOW = "__overflow__"
MOST_PATHS = 500
CACHED = 4_096
DEEPEST_MOUNT = 16

_uuid = re.compile("[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}").fullmatch
_hash = re.compile("[0-9a-fA-F]{16,}").fullmatch
_typed = re.compile(r"\{([^{}:]+):[^{}]*\}")


def normalised(path: str) -> str:
    """Return the path with UUIDs as `:uuid`, 16 hex digits or more as `:hash`, numbers as `:id`."""
    return "/".join(map(_segment, path.split("/")))


def _segment(segment: str) -> str:
    if segment.isdecimal():
        return ":id"
    if len(segment) >= 16 and _hash(segment):
        return ":hash"
    return ":uuid" if len(segment) == 36 and _uuid(segment) else segment


class Labels:
    """
    Labels of one application, remembered.

    `own` may name the route of a scope where the framework leaves no trace of it there.
    """

    def __init__(self, own: Callable[[Scope], str | None] | None = None) -> None:
        self._own = own
        self._templates: Cache = {}
        self._mounts: Cache = {}
        self._paths: dict[str, str] = {}
        self._admitted: set[str] = set()

    def label(self, scope: Scope, path: str, status: int) -> str:
        """Name the request of `scope` after it was served; `path` is what it had before."""
        if self._own is not None and (own := self._named(scope)):
            return own
        route = scope.get("route")
        if route is not None:
            return self._routed(scope, route, path)
        if "path_template" in scope:  # Litestar
            return _typed.sub(r"{\1}", scope["path_template"]) or "/"
        if status == 404 or "router" in scope:  # Starlette has looked, and found no route
            return UNMATCHED
        return self._paths.get(path) or self._of_path(path, status)

    def of_path(self, path: str, status: int) -> str:
        """Name a request of which nothing but its path is known."""
        return UNMATCHED if status == 404 else self._paths.get(path) or self._of_path(path, status)

    def _named(self, scope: Scope) -> str | None:
        try:
            return self._own(scope) if self._own is not None else None
        except Exception:  # noqa: BLE001 - the application's own naming must not fail its requests
            return None

    def _routed(self, scope: Scope, route: Any, path: str) -> str:
        fastapi = scope.get("fastapi")
        if fastapi and (context := fastapi.get("effective_route_context")) is not None:
            # The route of an included router knows nothing of the prefix; its context does.
            route = context if getattr(context, "path_format", "") else route
        if "app_root_path" in scope:
            return self._mounted(scope, route, path)
        known = self._templates.get(id(route))
        if known is None or known[0] is not route:
            known = self._remember(self._templates, route, (template_of(route),))
        root: str = scope.get("root_path", "")
        return root + known[1][0] if root else known[1][0]

    def _mounted(self, scope: Scope, route: Any, path: str) -> str:
        """Put the templates of the mounts on the way before the route's own."""
        known = self._mounts.get(id(route))
        if known is None or known[0] is not route:
            found = tuple(_chains(getattr(scope.get("router"), "routes", ()), route))
            known = self._remember(self._mounts, route, found)
        root: str = scope["app_root_path"] or ""
        templates = known[1]
        if len(templates) == 1:
            return root + templates[0]
        if not templates:
            return root + _mount_of(scope, root) + template_of(route)
        rest = path.removeprefix(root)
        return root + next((each for each in templates if _fits(each, rest)), templates[0])

    def _remember(self, cache: Cache, route: object, templates: tuple[str, ...]) -> Cached:
        if len(cache) >= CACHED:
            cache.clear()
        # Kept with the object itself, so that its id stays its own.
        known = cache[id(route)] = (route, templates)
        return known

    def _of_path(self, path: str, status: int) -> str:
        """
        Admit a path as a label once it is answered with success or a fault, up to MOST_PATHS.

        Redirects and 4xx are what scanners get for paths that do not exist.
        """
        label = normalised(path[:1_000]) or "/"
        if label not in self._admitted:
            if 300 <= status < 500:
                return UNMATCHED
            if len(self._admitted) >= MOST_PATHS:
                return OVERFLOW
            self._admitted.add(label)
        if len(self._paths) >= CACHED:
            self._paths.clear()
        self._paths[path] = label
        return label


def template_of(route: Any) -> str:
    """Return `/orders/{id}` for the route, without the type of the parameter in `{id:int}`."""
    found = getattr(route, "path_format", None) or getattr(route, "path", None)
    return _typed.sub(r"{\1}", str(found)) if found else "/"


def _chains(routes: Iterable[Any], wanted: object, depth: int = 0) -> Iterator[str]:
    """Yield the full template of each place where `wanted` hangs in the tree of routes."""
    for route in routes:
        if route is wanted:
            yield template_of(route)
        elif depth < DEEPEST_MOUNT and (below := getattr(route, "routes", None)):
            prefix = _typed.sub(r"{\1}", str(getattr(route, "path", "")))
            for rest in _chains(below, wanted, depth + 1):
                yield prefix + rest


def _mount_of(scope: Scope, root: str) -> str:
    """Return where the answering application is mounted, with the parameters put back in."""
    names = {str(value): name for name, value in (scope.get("path_params") or {}).items()}
    segments = str(scope.get("root_path", "")).removeprefix(root).split("/")
    return "/".join(f"{{{names[each]}}}" if each in names else _segment(each) for each in segments)


def _fits(template: str, path: str) -> bool:
    pairs = zip(template.split("/"), path.split("/"), strict=False)
    return all(wanted.startswith("{") or wanted == found for wanted, found in pairs)

"""
monitord.yaml as frozen structs, with every default. No reading here: `settings_file` makes them.

Durations are seconds and sizes bytes, whatever unit the file used.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from msgspec import Struct


DAY = 86_400.0


class Secret:
    """A text that prints as `***` everywhere; `reveal()` gives it to the one call that needs it."""

    __slots__ = ("_text",)

    def __init__(self, text: str = "") -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __repr__(self) -> str:
        return "***" if self._text else "''"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


class Tls(Struct, frozen=True, kw_only=True):
    """A certificate chain and its key, both PEM files. Empty paths mean plain HTTP."""

    certificate: Path | None = None
    key: Path | None = None


class Retention(Struct, frozen=True, kw_only=True):
    """How long rows stay, in seconds; whole days are dropped at a time."""

    requests: float = 30 * DAY
    spans: float = 7 * DAY
    logs: float = 14 * DAY
    metrics: float = 30 * DAY
    rollup_minutes: float = 7 * DAY
    rollup_hours: float = 90 * DAY
    rollup_days: float = 400 * DAY


class Spans(Struct, frozen=True, kw_only=True):
    """Which spans stay: all for `keep_all` seconds after their hour, then those of value."""

    keep_all: float = 3_600.0
    slowest: int = 5
    share_percent: int = 5


class Names(Struct, frozen=True, kw_only=True):
    """How many names are told apart; what comes above is counted together."""

    per_kind: int = 2_000
    total: int = 20_000
    series_total: int = 50_000


class Store(Struct, frozen=True, kw_only=True):
    """The PostgreSQL monitord writes to; without a `dsn`, the embedded one. Times in seconds."""

    dsn: Secret = Secret()
    connections: int = 4
    timeout: float = 10.0
    flush_every: float = 0.2
    size_bytes: int = 10 * 1024 * 1024 * 1024
    archive_requests_after: float | None = None
    names: Names = Names()
    spans: Spans = Spans()
    retention: Retention = Retention()


class Spool(Struct, frozen=True, kw_only=True):
    """Where events are safe on disk until they are stored: `spool/` of the state folder."""

    size_bytes: int = 1024 * 1024 * 1024
    keep_free_bytes: int = 256 * 1024 * 1024


class RedisTarget(Struct, frozen=True, kw_only=True):
    """One Redis or Valkey server to watch; `url` may hold user and password. Times in seconds."""

    name: str
    url: Secret
    password: Secret = Secret()
    every: float = 10.0
    timeout: float = 5.0


class PostgresTarget(Struct, frozen=True, kw_only=True):
    """One PostgreSQL server to watch. Times in seconds; `slow_statement_ms` in milliseconds."""

    name: str
    dsn: Secret
    password: Secret = Secret()
    every: float = 10.0
    timeout: float = 5.0
    slow_statement_ms: float = 100.0
    long_transaction: float = 60.0


class HostTarget(Struct, frozen=True, kw_only=True):
    """This machine. `disks` are mount points; `proc` is where the host's /proc is mounted."""

    enabled: bool = True
    every: float = 10.0
    timeout: float = 5.0
    disks: tuple[str, ...] = ("/",)
    proc: Path = Path("/proc")
    cgroup: Path = Path("/sys/fs/cgroup")


class Targets(Struct, frozen=True, kw_only=True):
    """Everything that is scraped."""

    redis: tuple[RedisTarget, ...] = ()
    postgres: tuple[PostgresTarget, ...] = ()
    host: HostTarget = HostTarget()


class Udp(Struct, frozen=True, kw_only=True):
    """The UDP side of the ingest port. `allow_from` is not authentication: UDP has none."""

    enabled: bool = True
    allow_from: tuple[IPv4Network | IPv6Network, ...] = ()
    receive_buffer_bytes: int = 32 * 1024 * 1024


class Tail(Struct, frozen=True, kw_only=True):
    """Files whose lines are logs; `name` is the service they are of."""

    name: str
    paths: tuple[Path, ...]


class Ingest(Struct, frozen=True, kw_only=True):
    """
    Where the application's events arrive (UDP and HTTP on one port number).

    The further ports are where other systems send by default; None leaves one closed.
    """

    host: str = "127.0.0.1"
    port: int = 9125
    otlp_port: int | None = None
    statsd_port: int | None = None
    statsd_socket: Path | None = None
    syslog_port: int | None = None
    gelf_port: int | None = None
    files: tuple[Tail, ...] = ()
    tokens: tuple[Secret, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    udp: Udp = Udp()
    tls: Tls = Tls()
    body_bytes: int = 4 * 1024 * 1024
    body_items: int = 10_000


class Redact(Struct, frozen=True, kw_only=True):
    """What is hidden in events before they are kept: `keys` too, `keep` never."""

    enabled: bool = True
    keys: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()


class Web(Struct, frozen=True, kw_only=True):
    """The page and the API. `read_tokens` may look, `admin_tokens` may change. Times in seconds."""

    host: str = "127.0.0.1"
    port: int = 9120
    base_path: str = ""
    read_tokens: tuple[Secret, ...] = ()
    admin_tokens: tuple[Secret, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    tls: Tls = Tls()
    refresh: float = 10.0
    session: float = 7 * DAY


class LogSettings(Struct, frozen=True, kw_only=True):
    """monitord's own log on stderr: `format` is auto, console or json."""

    level: str = "info"
    format: str = "auto"


class Settings(Struct, frozen=True, kw_only=True):
    """
    The whole file.

    `insecure` allows a non-loopback bind without tokens, and says so on every page. `source` is the
    file read (None: no file), `warnings` what the loader found unwise in it: one line each.
    """

    instance: str = ""
    state_dir: Path
    insecure: bool = False
    store: Store = Store()
    spool: Spool = Spool()
    targets: Targets = Targets()
    ingest: Ingest = Ingest()
    redact: Redact = Redact()
    web: Web = Web()
    log: LogSettings = LogSettings()
    source: Path | None = None
    warnings: tuple[str, ...] = ()

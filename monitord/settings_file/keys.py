"""
Every key of monitord.yaml: its name, kind and one sentence. The defaults are those of the structs.

A new key is a field of a struct in `settings` and one line here; `python -m monitord.settings_file
config` then writes the documented defaults and the editors' schema anew.
"""

from __future__ import annotations

from monitord import settings
from monitord.settings_file.secret_values import Address, Password, Token
from monitord.settings_file.shape import Key, List, Named, Section
from monitord.settings_file.values import (
    Choice,
    Duration,
    FilePath,
    Flag,
    Network,
    Size,
    Text,
    Whole,
)


YEARS = 10 * 365 * settings.DAY


NAME = Text(
    what="a name of up to 63 letters, digits, '_', '.' or '-'",
    pattern="[A-Za-z0-9][A-Za-z0-9_.-]{0,62}",
)
HOST = Text(
    what="an IP address or a host name to listen on, without a port",
    pattern="[A-Za-z0-9_.:%-]{1,253}",
)
ALLOWED_HOST = Text(
    what="a host name such as 'monitor.example.com', with or without a port",
    pattern=r"(?:[A-Za-z0-9_-]+\.)*[A-Za-z0-9_-]+(?::\d{1,5})?|\[[0-9A-Fa-f:.]+\](?::\d{1,5})?",
)
PORT = Whole(minimum=0, maximum=65_535, what="a port")
OTHER_PORT = Whole(minimum=0, maximum=65_535, what="a port", optional=True)
EVERY = Duration(minimum=1, maximum=3_600)
TIMEOUT = Duration(minimum=0.1, maximum=60)
KEPT = Duration(minimum=settings.DAY, maximum=YEARS)

RETENTION = Section(
    settings.Retention,
    (
        Key("requests", KEPT, "Every single request."),
        Key("spans", KEPT, "Every step of a request."),
        Key("logs", KEPT, "Log records."),
        Key("metrics", KEPT, "Samples of scraped and pushed numbers."),
        Key("rollup_minutes", KEPT, "Sums per minute."),
        Key("rollup_hours", KEPT, "Sums per hour."),
        Key("rollup_days", KEPT, "Sums per day."),
    ),
)

SPANS = Section(
    settings.Spans,
    (
        Key(
            "keep_all",
            Duration(minimum=3_600, maximum=12 * 3_600),
            "How long after their hour all of them stay at least.",
        ),
        Key(
            "slowest",
            Whole(minimum=0, maximum=1_000),
            "Then those of so many traces stay, the slowest of each endpoint and minute.",
        ),
        Key(
            "share_percent",
            Whole(minimum=0, maximum=100, what="a percentage"),
            "And this part of the other traces; 100: every one.",
        ),
    ),
)

NAMES = Section(
    settings.Names,
    (
        Key(
            "per_kind",
            Whole(minimum=10, maximum=100_000),
            "Most endpoints, loggers or steps of one service, and series of one metric.",
        ),
        Key(
            "total",
            Whole(minimum=100, maximum=1_000_000),
            "Most endpoints in all; as many loggers, as many steps.",
        ),
        Key("series_total", Whole(minimum=100, maximum=1_000_000), "Most series in all."),
    ),
)

STORE = Section(
    settings.Store,
    (
        Key(
            "dsn",
            Address(
                schemes={
                    "postgresql": "postgresql://user@host:5432/monitord",
                    "postgres": "postgres://user@host:5432/monitord",
                },
                optional=True,
            ),
            "The PostgreSQL (15 or newer) to write to; empty: monitord starts one of its own.",
        ),
        Key("connections", Whole(minimum=2, maximum=64), "Most connections to it."),
        Key("timeout", TIMEOUT, "Deadline of one statement."),
        Key(
            "flush_every",
            Duration(minimum=0.01, maximum=10),
            "Longest wait before events are written.",
        ),
        Key(
            "size",
            Size(minimum=256 * 1024**2, maximum=64 * 1024**4),
            "Most it may take; above it the oldest days go before their time, never today's.",
            field="size_bytes",
        ),
        Key(
            "archive_requests_after",
            Duration(minimum=settings.DAY, maximum=YEARS, optional=True),
            "How long after a day is over its requests are packed, to a third; empty: never.",
        ),
        Key("names", NAMES, "How many names are told apart; those above are counted together."),
        Key("spans", SPANS, "Which steps of requests stay; all of traces with an error do."),
        Key("retention", RETENTION, "How long rows stay; whole days are dropped at a time."),
    ),
)

SPOOL = Section(
    settings.Spool,
    (
        Key(
            "size",
            Size(minimum=64 * 1024**2, maximum=1024**4),
            "Most it may take; above it HTTP is answered 503 and datagrams are dropped.",
            field="size_bytes",
        ),
        Key(
            "keep_free",
            Size(minimum=0, maximum=1024**4),
            "Free space it leaves on its file system, likewise.",
            field="keep_free_bytes",
        ),
    ),
)

REDIS_TARGET = Section(
    settings.RedisTarget,
    (
        Key(
            "url",
            Address(
                schemes={
                    "redis": "redis://user@host:6379/0",
                    "rediss": "rediss://user@host:6379/0",
                    "unix": "unix:///run/redis.sock",
                }
            ),
            "Where it listens: redis://, rediss:// (TLS) or unix://.",
            example="redis://127.0.0.1:6379/0",
        ),
        Key("password", Password(), "Its password, where the address holds none."),
        Key("every", EVERY, "How often it is read."),
        Key("timeout", TIMEOUT, "Deadline of one reading."),
    ),
    needs=("url",),
)

POSTGRES_TARGET = Section(
    settings.PostgresTarget,
    (
        Key(
            "dsn",
            Address(
                schemes={
                    "postgresql": "postgresql://monitord@host:5432/postgres",
                    "postgres": "postgres://monitord@host:5432/postgres",
                }
            ),
            "How to connect; the role needs pg_read_all_stats and nothing else.",
            example="postgresql://monitord@127.0.0.1:5432/postgres",
        ),
        Key("password", Password(), "Its password, where the address holds none."),
        Key("every", EVERY, "How often it is read."),
        Key("timeout", TIMEOUT, "Deadline of one reading."),
        Key(
            "slow_statement",
            Duration(minimum=0.001, maximum=3_600, unit=0.001),
            "A statement that takes longer counts as slow.",
            field="slow_statement_ms",
        ),
        Key(
            "long_transaction",
            Duration(minimum=1, maximum=settings.DAY),
            "A transaction that is open longer counts as long.",
        ),
    ),
    needs=("dsn",),
)

HOST_TARGET = Section(
    settings.HostTarget,
    (
        Key("enabled", Flag(), "Whether this machine is watched."),
        Key("every", EVERY, "How often it is read."),
        Key("timeout", TIMEOUT, "Deadline of one reading."),
        Key(
            "disks",
            List(Text(what="an absolute path", pattern=r"/[^\x00-\x1f]*")),
            "Mount points whose space is watched.",
        ),
        Key("proc", FilePath(), "Where the host's /proc is; in a container, where it is mounted."),
        Key("cgroup", FilePath(), "Where the cgroup file system is mounted."),
    ),
)

TARGETS = Section(
    settings.Targets,
    (
        Key(
            "redis",
            Named(NAME, REDIS_TARGET),
            "Redis and Valkey servers, each under a name of your choice.",
        ),
        Key(
            "postgres",
            Named(NAME, POSTGRES_TARGET),
            "PostgreSQL servers (13 or newer), each under a name of your choice.",
        ),
        Key("host", HOST_TARGET, "This machine."),
    ),
)

TLS = Section(
    settings.Tls,
    (
        Key("certificate", FilePath(optional=True), "PEM file of the certificate chain."),
        Key("key", FilePath(optional=True), "PEM file of its private key."),
    ),
)

UDP = Section(
    settings.Udp,
    (
        Key("enabled", Flag(), "Whether datagrams are taken."),
        Key(
            "allow_from",
            List(Network()),
            "Networks whose datagrams are taken; needed beyond loopback, and no authentication.",
        ),
        Key(
            "receive_buffer",
            Size(minimum=64 * 1024, maximum=1024**3),
            "Receive buffer asked of the kernel; the effective one is on the page.",
            field="receive_buffer_bytes",
        ),
    ),
)

TAIL = Section(
    settings.Tail,
    (Key("paths", List(FilePath()), "They may be rotated.", example="[/var/log/main.log]"),),
    needs=("paths",),
)

INGEST = Section(
    settings.Ingest,
    (
        Key("host", HOST, "Address to listen on; beyond loopback, tokens are needed."),
        Key("port", PORT, "Port, the same number for UDP and HTTP; 0: the kernel chooses."),
        Key("otlp_port", OTHER_PORT, "OpenTelemetry's usual one is 4318; empty: only `port`."),
        Key("statsd_port", OTHER_PORT, "StatsD's usual one is 8125 (UDP); empty: only `port`."),
        Key("statsd_socket", FilePath(optional=True), "A unix datagram socket for StatsD."),
        Key("syslog_port", OTHER_PORT, "Syslog's usual one is 514 (UDP, TCP); empty: none on TCP."),
        Key("gelf_port", OTHER_PORT, "GELF's usual one is 12201 (UDP, TCP); empty: none on TCP."),
        Key("files", Named(NAME, TAIL), "Log files to follow line by line, by service."),
        Key("tokens", List(Token()), "Any of these lets an application push over HTTP."),
        Key("allowed_hosts", List(ALLOWED_HOST), "Host headers taken beside loopback's."),
        Key("udp", UDP, "Datagrams."),
        Key("tls", TLS, "TLS of its own; empty: plain HTTP."),
        Key(
            "body_size",
            Size(minimum=1024, maximum=64 * 1024**2),
            "Largest body of one request, after decompression.",
            field="body_bytes",
        ),
        Key("body_items", Whole(minimum=1, maximum=1_000_000), "Most events in one body."),
    ),
)

SECRET_NAME = Text(
    what="a key's name such as 'iban', of up to 63 letters, digits, '_', '.' or '-'",
    pattern="[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?",
)
REDACT = Section(
    settings.Redact,
    (
        Key("enabled", Flag(), "Whether secrets in events are hidden before they are kept."),
        Key("keys", List(SECRET_NAME), "Keys whose values are secret, beside the usual ones."),
        Key("keep", List(SECRET_NAME), "Keys whose values are shown although they look secret."),
    ),
)

WEB = Section(
    settings.Web,
    (
        Key("host", HOST, "Address to listen on; beyond loopback, tokens are needed."),
        Key("port", PORT, "Port of the page and the API; 0: the kernel chooses."),
        Key(
            "base_path",
            Text(
                what="empty or a path such as '/monitor', without a slash at its end",
                pattern=r"(?:(?:/[A-Za-z0-9._~-]+)+)?",
            ),
            "Path prefix under which a reverse proxy serves it.",
        ),
        Key("read_tokens", List(Token()), "Any of these may look."),
        Key("admin_tokens", List(Token()), "Any of these may look and change."),
        Key("allowed_hosts", List(ALLOWED_HOST), "Host headers taken beside loopback's."),
        Key("trusted_proxies", List(Network()), "Proxies whose X-Forwarded headers are believed."),
        Key("tls", TLS, "TLS of its own; empty: plain HTTP."),
        Key(
            "refresh", Duration(minimum=1, maximum=3_600), "How often the page renews its numbers."
        ),
        Key("session", Duration(minimum=60, maximum=YEARS), "How long a login lasts."),
    ),
)

LOG = Section(
    settings.LogSettings,
    (
        Key("level", Choice(words=("debug", "info", "warning", "error")), "Least level written."),
        Key(
            "format",
            Choice(words=("auto", "console", "json")),
            "console, json, or auto: console on a terminal, else json.",
        ),
    ),
)

SETTINGS = Section(
    settings.Settings,
    (
        Key(
            "instance",
            Text(
                what="empty or a name of up to 200 printable signs",
                pattern=r"(?:[^\x00-\x1f\x7f-\x9f]{1,200})?",
            ),
            "Name of this monitord where several share a store; empty: one is made and kept.",
        ),
        Key(
            "state_dir",
            FilePath(optional=True),
            "Folder for the embedded database and secrets; empty: the platform's state folder.",
        ),
        Key(
            "insecure",
            Flag(),
            "Allows listening beyond loopback without tokens; every page says so.",
        ),
        Key("store", STORE, "Where everything is kept."),
        Key("spool", SPOOL, "Where events are safe on disk until they are stored."),
        Key("targets", TARGETS, "What is scraped."),
        Key("ingest", INGEST, "Where the application's events arrive."),
        Key("redact", REDACT, "What of an event is nobody's business."),
        Key("web", WEB, "The page and the API."),
        Key("log", LOG, "monitord's own log, on standard error."),
    ),
)

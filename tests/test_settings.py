"""monitord.yaml: what is read, and what is said about what cannot be."""

from __future__ import annotations

import contextlib
import json
import re

from ipaddress import ip_network
from pathlib import Path
from typing import Any, cast

import jsonschema
import msgspec
import pytest
import yaml

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from monitord import assets
from monitord.errors import SettingsError
from monitord.ingest.tcp import GELF, SYSLOG, TcpListener
from monitord.ingest.udp import UdpListener
from monitord.settings import Ingest, Secret, Settings, Udp
from monitord.settings_file import load
from monitord.settings_file.documents import defaults_yaml, schema_json
from monitord.settings_file.load import default_state_dir
from monitord.settings_file.rules import broken
from monitord.telemetry import Telemetry


TOKEN = "0123456789abcdef"
TOP = "instance, state_dir, insecure, store, spool, targets, ingest, redact, web, log"
REDIS_KEYS = "url, url_file, password, password_file, every, timeout"

# The file -> what is said, without the file's name. `V` is 'abc' in the environment.
MISTAKES = [
    # unknown keys
    ("webb: {}", f"1: webb: unknown key (did you mean web?); known keys are {TOP}"),
    ("a:\n  b: 1", f"1: a: unknown key; known keys are {TOP}"),
    (
        "targets:\n  redis:\n    main:\n      url: redis://h\n      evry: 15s",
        "5: targets.redis.main.evry: unknown key (did you mean every?);"
        f" known keys are {REDIS_KEYS}",
    ),
    ("<<: {}", f"1: '<<': unknown key; known keys are {TOP}"),
    ('"a\\nb": 1', f"1: 'a\\nb': unknown key; known keys are {TOP}"),
    # what YAML allows and monitord does not
    ("web:\n  port: 1\n  port: 2", "3: web.port: duplicate key; the first is in line 2"),
    ("web: &w {}", "1: web: anchors are not used here, found &w"),
    ("web: {tls: *w}", "1: web.tls: aliases are not used here, write the value out; found *w"),
    ("web: !!map {}", "1: web: tags are not used here, found !!map"),
    ("1: a", "1: expected a text as key, found 1; write '1' in quotes"),
    ("yes: a", "1: expected a text as key, found yes; write 'yes' in quotes"),
    ("[web]: a", "1: expected a text as key, found a list"),
    ("web: {}\n---\nlog: {}", "2: expected one document, found a second '---'"),
    ("- web", "1: expected keys such as 'targets:', found a list"),
    ("hello", "1: expected keys such as 'targets:', found hello"),
    ("log:\n  level: [", "2: not YAML: did not find expected node content"),
    ("log: {}\n\tweb: {}", "2: not YAML: found character that cannot start any token"),
    ("log: {}\nb: \x01", "2: not YAML: the character U+0001 is not allowed"),
    (
        "web: {port: ${V}}",
        "1: not YAML: did not find expected ',' or '}';"
        " between { } or [ ], write a value with '${' in quotes",
    ),
    # mappings, lists, scalars
    ("web: 5", "1: web: expected a mapping of keys, found 5"),
    ("targets: {redis: [a]}", "1: targets.redis: expected a mapping of keys, found a list"),
    ("web: {port: [1]}", "1: web.port: expected a port from 0 to 65535, found a list"),
    ("web:\n  port:", "2: web.port: expected a port from 0 to 65535, found nothing"),
    ("web: {read_tokens: abc}", "1: web.read_tokens: expected a list, found ***"),
    # kinds of value
    (
        "targets: {host: {every: 15}}",
        "1: targets.host.every: expected a duration such as '15s' or '5m', found 15",
    ),
    ("store: {timeout: 5h}", "1: store.timeout: expected a duration from 100ms to 1m, found 5h"),
    (
        "store: {retention: {logs: 1h}}",
        "1: store.retention.logs: expected a duration from 1d to 3650d, found 1h",
    ),
    (
        "store: {archive_requests_after: 'off'}",
        "1: store.archive_requests_after: expected empty or a duration such as '15s' or '5m',"
        " found 'off'",
    ),
    ("web: {port: 70000}", "1: web.port: expected a port from 0 to 65535, found 70000"),
    ("web: {port: 010}", "1: web.port: expected a port from 0 to 65535, found 010"),
    (
        "web: {port: '9120'}",
        "1: web.port: expected a port from 0 to 65535 without quotes, found '9120'",
    ),
    ("insecure: yes", "1: insecure: expected true or false, found yes"),
    ("insecure: 'true'", "1: insecure: expected true or false without quotes, found 'true'"),
    (
        "ingest: {body_size: 4}",
        "1: ingest.body_size: expected a size such as '512KiB' or '32MiB', found 4",
    ),
    (
        "ingest: {body_size: 1GiB}",
        "1: ingest.body_size: expected a size from 1KiB to 64MiB, found 1GiB",
    ),
    (
        "store: {size: 100MiB}",
        "1: store.size: expected a size from 256MiB to 65536GiB, found 100MiB",
    ),
    ("log: {level: loud}", "1: log.level: expected one of debug, info, warning, error, found loud"),
    (
        "ingest: {udp: {allow_from: [172.16.0.9/12]}}",
        "1: ingest.udp.allow_from[0]: expected the first address of the network, 172.16.0.0/12,"
        " found 172.16.0.9/12",
    ),
    (
        "web:\n  trusted_proxies:\n  - 10.0.0.0/8\n  - proxy",
        "4: web.trusted_proxies[1]: expected a network such as '10.0.0.0/8' or '192.0.2.7',"
        " found proxy",
    ),
    (
        "web: {allowed_hosts: ['https://x']}",
        "1: web.allowed_hosts[0]: expected a host name such as 'monitor.example.com',"
        " with or without a port, found 'https://x'",
    ),
    (
        "web: {base_path: /x/}",
        "1: web.base_path: expected empty or a path such as '/monitor',"
        " without a slash at its end, found /x/",
    ),
    (
        "targets: {host: {disks: [data]}}",
        "1: targets.host.disks[0]: expected an absolute path, found data",
    ),
    (
        'instance: "a\\u202eb"',
        "1: instance: expected empty or a name of up to 200 printable signs, found 'a\\u202eb'",
    ),
    # targets
    (
        "targets: {redis: {main: {}}}",
        "1: targets.redis.main: expected url or url_file, found neither",
    ),
    (
        "targets: {redis: {a b: {url: redis://h}}}",
        "1: targets.redis.'a b': expected a name of up to 63 letters, digits, '_', '.' or '-',"
        " found 'a b'",
    ),
    # secrets are never repeated
    (
        "store: {dsn: 'mysql://u:hunter2@h/x'}",
        "1: store.dsn: expected an address such as 'postgresql://user@host:5432/monitord',"
        " found one that begins with 'mysql:'",
    ),
    (
        "store: {dsn: 'postgresql://u:hun#ter2@h/x'}",
        "1: store.dsn: expected an address such as 'postgresql://user@host:5432/monitord'"
        " (signs such as / # @ in its password are written %2F %23 %40),"
        " found one that begins with 'postgresql:'",
    ),
    (
        "web: {read_tokens: [hunter2]}",
        "1: web.read_tokens[0]: expected a token of 16 or more letters, digits or signs"
        " without blanks, found ***",
    ),
    (
        "store: {dsn_file: gone}",
        "1: store.dsn_file: expected a readable file, found 'gone' (No such file or directory)",
    ),
    (
        "store:\n  dsn: postgresql://h\n  dsn_file: x",
        "3: store.dsn_file: expected dsn or dsn_file, found both",
    ),
    # the environment
    (
        "web:\n  port: ${V}",
        "2: web.port: expected a port from 0 to 65535, found 'abc' (from ${V})",
    ),
    (
        "web:\n  port: ${UNSET}",
        "2: web.port: expected the environment variable UNSET to be set, found nothing",
    ),
    (
        "web:\n  port: ${V-1}",
        "2: web.port: expected ${NAME} or ${NAME:-default}, found a '${' of another form",
    ),
    (
        "web:\n  read_tokens:\n  - ${UNSET:-hunter2}",
        "3: web.read_tokens[0]: expected a token of 16 or more letters, digits or signs"
        " without blanks, found *** (from the environment)",
    ),
    (
        "targets:\n  redis:\n    main:\n      url: ${UNSET:-}",
        "4: targets.redis.main.url: expected an address such as 'redis://user@host:6379/0',"
        " found nothing (from the environment)",
    ),
    (
        "web:\n  read_tokens: ['']",
        "2: web.read_tokens[0]: expected a token of 16 or more letters,"
        " digits or signs without blanks, found nothing",
    ),
    # more than one key
    (
        "ingest:\n  port: 7\nweb:\n  port: 7",
        "2: ingest.port: expected another port than web.port, found 7",
    ),
    (
        "web:\n  tls:\n    key: /dev/null",
        "2: web.tls: expected certificate and key, found no certificate",
    ),
    (
        "web:\n  tls:\n    key: gone.pem",
        "3: web.tls.key: expected a readable file, found '{folder}gone.pem'",
    ),
    # open to other machines
    (
        "web:\n  host: 0.0.0.0",
        "2: web.host: 0.0.0.0 can be reached by other machines, which needs web.read_tokens;"
        " set a token, or bind to 127.0.0.1, or say insecure: true",
    ),
    (
        "ingest:\n  port: 7\n  host: '::'",
        "3: ingest.host: :: can be reached by other machines, which needs ingest.tokens;"
        " set a token, or bind to 127.0.0.1, or say insecure: true",
    ),
    (
        f"ingest:\n  host: 0.0.0.0\n  tokens: [{TOKEN}]",
        "1: ingest.udp.allow_from: expected networks, for 0.0.0.0 can be reached by other machines"
        " and datagrams, syslog and GELF carry no token; or say ingest.udp.enabled: false",
    ),
    (
        "insecure: true\ningest: {host: 0.0.0.0}",
        "2: ingest.udp.allow_from: expected networks, for 0.0.0.0 can be reached by other machines"
        " and datagrams, syslog and GELF carry no token; or say ingest.udp.enabled: false",
    ),
    (
        "insecure: true\ningest: {host: 0.0.0.0, syslog_port: 514, udp: {enabled: false}}",
        "2: ingest.udp.allow_from: expected networks, for 0.0.0.0 can be reached by other machines"
        " and datagrams, syslog and GELF carry no token; or leave out ingest.syslog_port",
    ),
    (
        "insecure: true\ningest: {host: 0.0.0.0, syslog_port: 0, gelf_port: 0}",
        "2: ingest.udp.allow_from: expected networks, for 0.0.0.0 can be reached by other machines"
        " and datagrams, syslog and GELF carry no token; or say ingest.udp.enabled: false and leave"
        " out ingest.syslog_port and ingest.gelf_port",
    ),
]


def write(folder: Path, text: str) -> Path:
    path = folder / "monitord.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def said(folder: Path, text: str, **environ: str) -> list[str]:
    """Return the lines said about a file, without the folder's name."""
    with pytest.raises(SettingsError) as caught:
        load(write(folder, text), {"HOME": "/home/u", **environ})
    return str(caught.value).replace(f"{folder}/monitord", "monitord").splitlines()


@pytest.mark.parametrize(("text", "message"), MISTAKES)
def test_mistake_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    """
    A mistake is one line: file, line, path of the key, what was expected, and what was found.
    """
    lines = said(tmp_path, text, V="abc")

    assert f"monitord.yaml:{message.replace('{folder}', f'{tmp_path}/')}" in lines


def test_every_mistake_of_a_file_is_listed_in_order(tmp_path: Path) -> None:
    """
    All mistakes of a file are said at once, in the order of its lines.
    """
    lines = said(tmp_path, "web:\n  port: x\nlog:\n  level: y\n  level: z\ninsecure: maybe\n")

    assert [line.split(": ")[0] for line in lines] == [
        "monitord.yaml:2",
        "monitord.yaml:4",
        "monitord.yaml:5",
        "monitord.yaml:6",
    ]


def test_a_hundred_mistakes_are_enough(tmp_path: Path) -> None:
    """
    A file that is something else altogether does not fill the screen.
    """
    lines = said(tmp_path, "".join(f"key{number}: 1\n" for number in range(50_000)))

    assert len(lines) == 101
    assert lines[0].startswith("monitord.yaml:1: key0: unknown key")
    assert lines[-1] == "monitord.yaml: and 49900 more mistakes"


def test_no_mistake_holds_a_secret(tmp_path: Path) -> None:
    """
    Whatever is wrong with a secret, its text is not repeated.
    """
    text = (
        "store: {dsn: hunter2}\n"
        "web: {read_tokens: hunter2, admin_tokens: [hunter2, {hunter2: 1}]}\n"
        "targets: {redis: {main: {url: 'http://x:hunter2@y', password: [hunter2]}}}\n"
        "ingest: {tokens: ['${T}']}\n"
    )

    lines = said(tmp_path, text, T="hunter2")

    assert len(lines) == 7
    assert not any("hunter2" in line for line in lines)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"# " + b"x" * 1024 * 1024, "monitord.yaml: expected at most 1024 KiB, found more"),
        (b"a: 1\nb: \xff", "monitord.yaml:2: expected UTF-8 text, found the byte 0xff"),
        (
            b"a: " + b"[" * 100_000,
            "monitord.yaml:1: " + "a" + "[0]" * 16 + ": expected at most 16 levels, found more",
        ),
        (
            b"a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]",
            "monitord.yaml:1: a: anchors are not used here, found &a",
        ),
    ],
)
def test_hostile_file_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    """
    A file that is too large, too deep, no text or a YAML bomb is refused with one line.
    """
    (tmp_path / "monitord.yaml").write_bytes(content)

    with pytest.raises(SettingsError) as caught:
        load(tmp_path / "monitord.yaml", {})

    assert str(caught.value).replace(f"{tmp_path}/", "").splitlines()[0] == message


def test_missing_file_is_a_mistake() -> None:
    """
    A file that is named but not there is refused, whoever named it.
    """
    with pytest.raises(SettingsError) as caught:
        load(None, {"MONITORD_CONFIG": "gone.yaml"})

    assert str(caught.value) == "gone.yaml: expected a readable file (No such file or directory)"


@pytest.mark.parametrize(("text", "seconds"), [("1d", 86_400.0), ("", None)])
def test_optional_duration(tmp_path: Path, text: str, seconds: float | None) -> None:
    """
    A duration that may be left empty is none then.
    """
    file = write(tmp_path, f"store: {{archive_requests_after: '{text}'}}")

    assert load(file, {}).store.archive_requests_after == seconds


def test_whole_file(tmp_path: Path) -> None:
    """
    Names, units, networks, secrets and relative paths arrive as the structs hold them.
    """
    file = write(
        tmp_path,
        """
instance: shop-1
state_dir: state
store: {flush_every: 50ms, retention: {requests: 2d}}
targets:
  redis:
    main: {url: 'redis://h:6379/0', password: 0815, every: 15s}
    second: {url: 'unix:///run/r.sock'}
  postgres:
    shop: {dsn: 'postgresql://m@h/shop', slow_statement: 0.25s, long_transaction: 2h}
  host: {enabled: false, disks: [/, /data]}
ingest:
  udp: {allow_from: [10.0.0.0/8, '::1'], receive_buffer: 8MiB}
web: {port: 0, base_path: /monitor, allowed_hosts: ['m.example.com', '[::1]:9120']}
log:
""",
    )

    settings = load(file, {})

    main, second = settings.targets.redis
    assert (main.name, main.url, main.password, main.every, main.timeout) == (
        "main",
        Secret("redis://h:6379/0"),
        Secret("0815"),
        15.0,
        5.0,
    )
    assert (second.name, second.every) == ("second", 10.0)
    shop = settings.targets.postgres[0]
    assert (shop.slow_statement_ms, shop.long_transaction) == (250.0, 7200.0)
    assert settings.targets.host.disks == ("/", "/data")
    assert settings.ingest.udp.allow_from == (ip_network("10.0.0.0/8"), ip_network("::1"))
    assert settings.ingest.udp.receive_buffer_bytes == 8 * 1024**2
    assert settings.store.retention.requests == 2 * 86_400
    assert settings.store.flush_every == 0.05
    assert (settings.instance, settings.state_dir) == ("shop-1", tmp_path / "state")
    assert settings.web.allowed_hosts == ("m.example.com", "[::1]:9120")
    assert settings.source == file


@pytest.mark.parametrize(
    ("written", "environ", "expected"),
    [
        ("${PORT}", {"PORT": "8000"}, 8000),
        ('"${PORT}"', {"PORT": "8000"}, 8000),
        ("${PORT:-7000}", {}, 7000),
        ("${PORT:-7000}", {"PORT": ""}, 7000),
        ("80${PORT}", {"PORT": "00"}, 8000),
    ],
)
def test_number_from_the_environment(
    tmp_path: Path, written: str, environ: dict[str, str], expected: int
) -> None:
    """
    A variable's text is read as the key's kind, in quotes or not; empty takes the default.
    """
    file = write(tmp_path, f"web:\n  port: {written}\n")

    assert load(file, environ).web.port == expected


def test_expansion_is_of_values_and_once(tmp_path: Path) -> None:
    """
    Keys are not expanded, a variable's own text is not expanded again, `$${` is a plain `${`.
    """
    file = write(
        tmp_path,
        "targets:\n  redis:\n    main:\n      url: redis://h\n      password: $${A}-${A}\n",
    )

    password = load(file, {"A": "${B}", "B": "x"}).targets.redis[0].password

    assert password == Secret("${A}-${B}")
    assert "unknown key" in said(tmp_path, "${W}: {}", W="web")[0]


def test_empty_variable_leaves_an_item_out(tmp_path: Path) -> None:
    """
    A list's item taken from an empty variable is not there; it never is an empty token.
    """
    file = write(tmp_path, "web:\n  read_tokens: ['${A:-}', '${B}', '${C:-}']\n")

    assert load(file, {"A": "", "B": TOKEN}).web.read_tokens == (Secret(TOKEN),)


def test_environment_wins_over_the_file(tmp_path: Path) -> None:
    """
    MONITORD_CONFIG names the file; state folder and ports are overridden by their variables.
    """
    file = write(tmp_path, "state_dir: /a\nweb: {port: 1}\ningest: {port: 2}\n")
    environ = {
        "MONITORD_CONFIG": str(file),
        "MONITORD_STATE_DIR": str(tmp_path / "b"),
        "MONITORD_WEB_PORT": "3",
        "MONITORD_INGEST_PORT": "0",
    }

    settings = load(None, environ)

    assert settings.state_dir == tmp_path / "b"
    assert (settings.web.port, settings.ingest.port) == (3, 0)


def test_mistake_in_a_variable_names_it() -> None:
    """
    A wrong override is reported by the variable's name.
    """
    with pytest.raises(SettingsError) as caught:
        load(None, {"MONITORD_WEB_PORT": "http"})

    assert str(caught.value) == "MONITORD_WEB_PORT: expected a port from 0 to 65535, found 'http'"


def test_secret_files(tmp_path: Path) -> None:
    """
    A secret's file loses the newline at its end and nothing else; a token file has one a line.
    """
    (tmp_path / "dsn").write_text("postgresql://u:p%20w@h/x\r\n")
    (tmp_path / "password").write_text(" two words \n")
    (tmp_path / "tokens").write_text(f"{TOKEN}\n\n{TOKEN}2\n")
    file = write(
        tmp_path,
        "store: {dsn_file: dsn}\n"
        "targets: {redis: {main: {url: 'redis://h', password_file: password}}}\n"
        "web: {read_tokens_file: tokens}\n",
    )

    settings = load(file, {})

    assert settings.store.dsn == Secret("postgresql://u:p%20w@h/x")
    assert settings.targets.redis[0].password == Secret(" two words ")
    assert settings.web.read_tokens == (Secret(TOKEN), Secret(TOKEN + "2"))


@pytest.mark.parametrize(
    ("mode", "text", "warned"),
    [
        (0o644, "store: {dsn: 'postgresql://u:pw@h'}", True),
        (0o640, "store: {dsn: 'postgresql://u:pw@h'}", False),
        (0o644, "store: {dsn: 'postgresql://u@h'}", False),
        (0o644, "store:\n  dsn: ${DSN}", False),
    ],
)
def test_readable_secrets_warn(tmp_path: Path, mode: int, text: str, warned: bool) -> None:
    """
    A file all users may read that holds a secret itself gives a warning, which names the key.
    """
    file = write(tmp_path, text)
    file.chmod(mode)

    warnings = load(file, {"DSN": "postgresql://u:pw@h"}).warnings

    assert [f"{file}: every user of this machine may read store.dsn" in w for w in warnings] == (
        [True] if warned else []
    )


@pytest.mark.parametrize(
    ("text", "warnings"),
    [
        ("insecure: true", []),
        (f"web: {{host: 0.0.0.0, read_tokens: [{TOKEN}], allowed_hosts: [a.b]}}", []),
        (
            f"web: {{host: 0.0.0.0, admin_tokens: [{TOKEN}]}}",
            ["web.allowed_hosts: empty, so only loopback names are answered"],
        ),
        (
            "insecure: true\ningest: {host: 0.0.0.0, allowed_hosts: [a.b], udp: {enabled: false}}",
            ["insecure: whoever reaches ingest on 0.0.0.0 needs no token"],
        ),
        (f"ingest: {{host: 10.0.0.1, tokens: [{TOKEN}], udp: {{enabled: false}}}}", None),
        (
            f"ingest: {{host: 10.0.0.1, tokens: [{TOKEN}], gelf_port: 12201,"
            " udp: {allow_from: [10.0.0.0/8]}}",
            None,
        ),
    ],
)
def test_unwise_settings_warn(tmp_path: Path, text: str, warnings: list[str] | None) -> None:
    """
    What is allowed and will be regretted is taken, with one line about it.
    """
    expected = ["ingest.allowed_hosts: empty, so only loopback names are answered"]
    file = write(tmp_path, text)
    file.chmod(0o600)

    settings = load(file, {})

    assert list(settings.warnings) == (expected if warnings is None else warnings)


async def refused(ingest: Ingest) -> list[str]:
    """Return the key for which the listeners that ask for no token do not start, if they do not."""
    telemetry, nobody_sends = Telemetry(), cast(Any, None)
    try:
        async with contextlib.AsyncExitStack() as stack:
            if ingest.udp.enabled:
                udp = UdpListener(ingest, nobody_sends, telemetry)
                await stack.enter_async_context(udp)
            for protocol in (SYSLOG, GELF):
                tcp = TcpListener(protocol, ingest, nobody_sends, telemetry)
                await stack.enter_async_context(tcp)
    except SettingsError as error:
        return [str(error).partition(": ")[0]]
    return []


@pytest.mark.parametrize("networks", [(), ("127.0.0.0/8",)])
@pytest.mark.parametrize("udp", [True, False])
@pytest.mark.parametrize("port", ["port", "statsd_port", "syslog_port", "gelf_port"])
# The second is not known to be a loopback address until it is resolved, and still harmless.
@pytest.mark.parametrize("host", ["127.0.0.1", "127.1"])
async def test_networks_are_missed_where_no_listener_starts_without(
    tmp_path: Path, host: str, port: str, udp: bool, networks: tuple[str, ...]
) -> None:
    """
    Settings that the daemon would not start with are mistakes, and no others are; `insecure` is
    about tokens and changes nothing.
    """
    side = Udp(enabled=udp, allow_from=tuple(map(ip_network, networks)))
    ingest = replace(Ingest(host=host, port=0, udp=side, tokens=(Secret(TOKEN),)), **{port: 0})
    places = await refused(ingest)

    for insecure in (True, False):
        settings = Settings(state_dir=tmp_path, insecure=insecure, ingest=ingest)
        assert [place for place, _ in broken(settings)] == places


def test_secrets_print_as_stars(tmp_path: Path) -> None:
    """
    Settings can be printed without giving a secret away.
    """
    file = write(
        tmp_path, f"web: {{read_tokens: [{TOKEN}]}}\nstore: {{dsn: 'postgres://u:{TOKEN}@h'}}"
    )

    settings = load(file, {})

    assert TOKEN not in f"{settings} {settings!r} {settings.store.dsn} {settings.web.read_tokens}"


@pytest.mark.parametrize(
    ("environ", "root", "platform", "expected"),
    [
        ({"HOME": "/home/u"}, False, "linux", "/home/u/.local/state/monitord"),
        ({"HOME": "/home/u", "XDG_STATE_HOME": "/s"}, False, "linux", "/s/monitord"),
        (
            {"HOME": "/home/u", "XDG_STATE_HOME": "s"},
            False,
            "linux",
            "/home/u/.local/state/monitord",
        ),
        ({"HOME": "/root"}, True, "linux", "/var/lib/monitord"),
        ({"HOME": "/u"}, False, "darwin", "/u/Library/Application Support/monitord"),
    ],
)
def test_state_folder(environ: dict[str, str], root: bool, platform: str, expected: str) -> None:
    """
    Without a word about it, state is kept where the platform keeps it.
    """
    assert default_state_dir(environ, root=root, platform=platform) == Path(expected)


def uncommented(text: str) -> str:
    """Return the documented defaults with the examples of named sections made real."""
    text = re.sub(r"^  (redis|postgres|files): \{\}\n  # ", "  ", text, flags=re.MULTILINE)
    return re.sub(r"^  #   ", "    ", text, flags=re.MULTILINE)


def test_documented_defaults_are_the_defaults() -> None:
    """
    config/defaults.yaml is fresh, and loading it changes nothing.
    """
    file = assets.folder("config") / "defaults.yaml"

    settings = load(file, {"HOME": "/home/u"})

    assert file.read_text() == defaults_yaml()
    assert replace(settings, source=None) == load(None, {"HOME": "/home/u"})


def test_documented_examples_are_the_defaults(tmp_path: Path) -> None:
    """
    The target examples in config/defaults.yaml hold every key with its default.
    """
    file = write(tmp_path, uncommented(defaults_yaml()))

    settings = load(file, {})

    redis, postgres = settings.targets.redis[0], settings.targets.postgres[0]
    assert redis == type(redis)(name="main", url=Secret("redis://127.0.0.1:6379/0"))
    assert postgres == type(postgres)(
        name="main", dsn=Secret("postgresql://monitord@127.0.0.1:5432/postgres")
    )


def test_every_field_has_a_key(tmp_path: Path) -> None:
    """
    No setting of the structs is out of a user's reach, and none is missing from the defaults.
    """
    text = uncommented(defaults_yaml())

    settings = load(write(tmp_path, text), {})

    assert keys_of(settings) == keys_of(yaml.safe_load(text))


def keys_of(value: object, path: str = "") -> set[str]:
    """Return the path of every key, of structs and of the file's mappings in the same words."""
    if isinstance(value, msgspec.Struct):
        own = {"name", "source", "warnings"}
        value = {f: getattr(value, f) for f in value.__struct_fields__ if f not in own}
    if isinstance(value, tuple) and value and isinstance(value[0], msgspec.Struct):
        value = {"main": value[0]}
    if not isinstance(value, dict):
        return {re.sub("_(ms|bytes|size)$", "", path)}
    return set().union(*(keys_of(child, f"{path}.{key}") for key, child in value.items()))


def test_schema_is_fresh_and_accepts_what_loads() -> None:
    """
    The editors' schema is written from the same table; it takes the defaults and the examples.
    """
    schema = json.loads((assets.folder("config") / "monitord.schema.json").read_text())

    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    assert schema == json.loads(schema_json())
    for text in (defaults_yaml(), uncommented(defaults_yaml())):
        validator.validate(yaml.safe_load(text))


@pytest.mark.parametrize(
    "text",
    [
        "webb: {}",
        "targets: {host: {every: 15}}",
        "targets: {redis: {main: {}}}",
        "targets: {redis: {a b: {url: 'redis://h'}}}",
        "web: {port: 70000}",
        "log: {level: loud}",
        "store: {dsn: 'mysql://h'}",
        "web: {read_tokens: [short]}",
    ],
)
def test_schema_refuses_what_does_not_load(tmp_path: Path, text: str) -> None:
    """
    An editor underlines what the loader would refuse.
    """
    validator = jsonschema.Draft202012Validator(json.loads(schema_json()))

    assert said(tmp_path, text)
    assert not validator.is_valid(yaml.safe_load(text))


def test_defaults_need_no_file() -> None:
    """
    With nothing said, everything listens on loopback and the store is the embedded one.
    """
    settings = load(None, {"HOME": "/home/u"})

    assert isinstance(settings, Settings)
    assert (settings.web.host, settings.ingest.host) == ("127.0.0.1", "127.0.0.1")
    assert not settings.store.dsn
    assert settings.targets.host.enabled
    assert settings.source is None


# Pieces of which files are made that are nearly right.
WORDS = "web targets redis main url every tls tokens port 15s 0 -1 1e9 redis://h A é"
SIGNS = "- |[|]|{|}|'|\"|${|}|$|:-|: |:\n  |\n|&a |*a|!!x |# |>\n |%|?|\t|\x85|\ufeff|---\n"
PIECES = st.sampled_from([*WORDS.split(), *SIGNS.split("|"), "9" * 30])


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.lists(PIECES, max_size=40).map("".join), st.text(max_size=80)))
def test_any_text_loads_or_is_a_mistake(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    """
    Whatever stands in the file, it is loaded or refused in lines that name it; nothing else.
    """
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))

    try:
        load(file, {"A": "x", "HOME": "/home/u"})
    except SettingsError as error:
        lines = str(error).split("\n")
        assert all(line.startswith(f"{file}:") for line in lines)
        assert all(line.isprintable() for line in lines)

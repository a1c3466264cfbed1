"""
Whether pg_stat_statements can be read, and how many statements were slow since the last reading.

The texts of the statements are not asked for: the server would read all of them from disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import asyncpg

from msgspec import Struct

from monitord.model import Metric, Problem, Reason, Scrape
from monitord.scrapers.postgres.own import OWN_DATABASES
from monitord.scrapers.postgres.question import SELDOM
from monitord.scrapers.postgres.session import Session
from monitord.scrapers.samples import gauge


# The extension may lie in any schema, be older than its server, and be there without its library.
# Its setting is listed only when the library is loaded, and anybody may see that.
PROBE = """
    SELECT
        quote_ident(n.nspname::text) AS schema,
        p.proargnames::text[] AS columns,
        EXISTS (
            SELECT FROM pg_catalog.pg_settings AS s WHERE s.name = 'pg_stat_statements.max'
        ) AS loaded,
        has_schema_privilege(n.oid, 'USAGE') AS usable,
        has_function_privilege(p.oid, 'EXECUTE') AS executable,
        pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS all_visible
    FROM (SELECT 1) AS always
    LEFT JOIN pg_catalog.pg_extension AS e ON e.extname = 'pg_stat_statements'
    LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace
    LEFT JOIN (
        pg_catalog.pg_depend AS d
        JOIN pg_catalog.pg_proc AS p
            ON p.oid = d.objid AND p.proname = 'pg_stat_statements'
    )
        ON d.classid = 'pg_catalog.pg_proc'::regclass
        AND d.refclassid = 'pg_catalog.pg_extension'::regclass
        AND d.refobjid = e.oid
        AND d.deptype = 'e'
"""

# Names from the catalogue, quoted by the server, and names of this module; nothing else goes in.
#
# No statement was slow on average whose slowest call was not, so the fast ones need not be sent.
READ = """
    SELECT
        userid::int8 AS role,
        dbid::int8 AS database,
        queryid AS id,
        sum(calls)::float8 AS calls,
        sum({total})::float8 AS total_ms
    FROM {schema}.pg_stat_statements(false)
    WHERE {longest} > $1::float8
        AND queryid <> ALL ($2::int8[])
        AND dbid NOT IN ({own})
    GROUP BY userid, dbid, queryid
    ORDER BY sum({total}) DESC
    LIMIT 5000
"""

# (columns of the total and the longest time), newest first: extension 1.8 split planning off.
TIMES = (("total_exec_time", "max_exec_time"), ("total_time", "max_time"))

PRELOAD = "set shared_preload_libraries = 'pg_stat_statements' in postgresql.conf and restart it"
CREATE = "CREATE EXTENSION pg_stat_statements;"

Key = tuple[int, int, int]


class Work(Struct, frozen=True):
    """What one statement did: calls, and their time together in milliseconds."""

    calls: float
    total_ms: float


class Statements:
    """Remembers the slow statements of the last reading; the first gives no number."""

    what = "statements"

    def __init__(self, slow_ms: float) -> None:
        self._slow_ms = slow_ms
        self._before: dict[Key, Work] | None = None
        self.every = SELDOM

    async def ask(self, session: Session) -> Scrape:
        self.every = SELDOM
        probe = await session.row(PROBE)
        problem = _obstacle(session, probe)
        if problem is not None:
            self._before = None
            available = problem.reason is Reason.PERMISSION
            return Scrape([gauge("postgres.statements.available", available)], [problem])
        rows = await session.rows(_query(probe), self._slow_ms, await session.own_query_ids())
        return Scrape([gauge("postgres.statements.available", 1), *self._slow(rows)])

    def _slow(self, rows: Iterable[asyncpg.Record]) -> list[Metric]:
        now = {
            (row["role"], row["database"], row["id"]): Work(row["calls"], row["total_ms"])
            for row in rows
        }
        before, self._before = self._before, now
        if before is None:
            self.every = 0.0  # soon again, so that there is something to compare
            return []
        return [gauge("postgres.statements.slow", count_slow(before, now, self._slow_ms))]


def count_slow(before: Mapping[Key, Work], now: Mapping[Key, Work], limit_ms: float) -> int:
    """
    Return how many statements took longer than the limit on average between two readings.

    A statement that was not there before had no slow call then; its mean over all its calls is
    above the limit only if that of the new ones is. One that was reset counts from its reset on.
    """
    count = 0
    for key, work in now.items():
        old = before.get(key, Work(0.0, 0.0))
        if work.calls < old.calls:
            old = Work(0.0, 0.0)
        calls = work.calls - old.calls
        count += calls > 0 and (work.total_ms - old.total_ms) / calls > limit_ms
    return count


def _obstacle(session: Session, probe: asyncpg.Record) -> Problem | None:
    """Return why the statements cannot be counted, and what mends it."""
    if probe["schema"] is None or probe["columns"] is None:
        here = f"in database {session.who.database}"
        steps = f"{here}: {CREATE}" if probe["loaded"] else f"{PRELOAD}; then {here}: {CREATE}"
        return Problem("statements", Reason.MISSING, "pg_stat_statements is not installed", steps)
    if not probe["loaded"]:
        detail = "pg_stat_statements is created but not loaded"
        return Problem("statements", Reason.MISSING, detail, PRELOAD)
    if _times(probe["columns"]) is None:
        detail = "this version of pg_stat_statements is not known"
        return Problem("statements", Reason.MISSING, detail)
    grants = list(_missing_grants(session.who.role, probe))
    if grants:
        detail = f"{session.who.role} may not read pg_stat_statements"
        return Problem("statements", Reason.PERMISSION, detail, " ".join(grants))
    return None


def _missing_grants(role: str, probe: asyncpg.Record) -> Iterator[str]:
    schema = probe["schema"]
    if not probe["usable"]:
        yield f"GRANT USAGE ON SCHEMA {schema} TO {role};"
    if not probe["executable"]:
        yield f"GRANT EXECUTE ON FUNCTION {schema}.pg_stat_statements(boolean) TO {role};"
    if not probe["all_visible"]:
        yield f"GRANT pg_read_all_stats TO {role};"


def _times(columns: Iterable[str]) -> tuple[str, str] | None:
    there = set(columns)
    return next((names for names in TIMES if there.issuperset(names)), None)


def _query(probe: asyncpg.Record) -> str:
    total, longest = _times(probe["columns"]) or TIMES[0]
    names = {"schema": probe["schema"], "total": total, "longest": longest}
    return READ.format(own=OWN_DATABASES, **names)

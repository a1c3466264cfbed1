"""One PostgreSQL server, asked question after question over one connection."""

from __future__ import annotations

import time

from collections.abc import Callable, Sequence

from monitord.model import Metric, Problem, Scrape
from monitord.scrapers.postgres import failures, role
from monitord.scrapers.postgres.activity import Activity
from monitord.scrapers.postgres.databases import Databases
from monitord.scrapers.postgres.question import Question
from monitord.scrapers.postgres.replication import Replication
from monitord.scrapers.postgres.session import Session
from monitord.scrapers.postgres.sizes import Sizes
from monitord.scrapers.postgres.statements import Statements
from monitord.settings import PostgresTarget


def questions(
    target: PostgresTarget, monotonic: Callable[[], float] = time.monotonic
) -> tuple[Question, ...]:
    """Return every question, the light ones first. A new one is a line here."""
    return (
        Activity(target.slow_statement_ms, target.long_transaction),
        Databases(monotonic),
        Replication(),
        Statements(target.slow_statement_ms),
        Sizes(),
    )


class PostgresScraper:
    """
    Asks what is due and tells, for each question that failed, what is missing and what mends it.

    The caller sets the deadline: a scrape that is cancelled drops its connection.
    """

    def __init__(
        self, target: PostgresTarget, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._target = target
        self._questions = questions(target, monotonic)
        self._monotonic = monotonic
        self._session: Session | None = None
        self._due: dict[str, float] = {}
        # By question: those asked seldom keep their problems between.
        self._problems: dict[str, Sequence[Problem]] = {}

    async def scrape(self) -> Scrape:
        """Return what is due. Raises ScrapeError: there is no connection, or it was lost."""
        try:
            session = await self._connected()
            metrics: list[Metric] = []
            for question in self._questions:
                if self._monotonic() >= self._due.get(question.what, 0.0):
                    metrics += await self._ask(question, session)
            return Scrape(metrics, [p for found in self._problems.values() for p in found])
        except BaseException as error:
            self._drop()
            failure = failures.session_failure(error, self._target.dsn.reveal())
            if failure is None:
                raise
            raise failure from error

    async def advise(self) -> Sequence[Problem]:
        """Return what is unwise: monitord with more rights than it needs."""
        session = await self._connected()
        return await role.advice(session)

    async def close(self) -> None:
        self._drop()

    def _drop(self) -> None:
        if self._session is not None:
            self._session.drop()
            self._session = None

    async def _connected(self) -> Session:
        if self._session is None or self._session.is_closed:
            self._drop()
            self._session = await Session.open(self._target)
        return self._session

    async def _ask(self, question: Question, session: Session) -> Sequence[Metric]:
        started = self._monotonic()
        try:
            answer = await question.ask(session)
        except Exception as error:
            if session.is_closed or failures.ended_session(error):
                raise
            answer = Scrape((), [failures.question_problem(question.what, error)])
        # Half a scrape's pace of grace: the scrape nearest to the due time asks.
        self._due[question.what] = started + question.every - self._target.every / 2
        self._problems[question.what] = answer.problems
        return answer.metrics

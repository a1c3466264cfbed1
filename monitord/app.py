"""The composition root: which part is given which. Starting and stopping is `service`."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from monitord import assets
from monitord.http import kpis, static
from monitord.http.ports import Ports
from monitord.http.server import WebServer
from monitord.ingest.http import IngestServer
from monitord.intake.bus import Bus
from monitord.intake.dead_letters import DeadLetterFile
from monitord.intake.intake import Intake
from monitord.intake.redact import Redactor
from monitord.intake.spool.spool import Spool
from monitord.intake.spool_metrics import SpoolMetrics
from monitord.intake.window import Window
from monitord.schedule import Schedule
from monitord.scrapers import open_scrapers
from monitord.settings import Settings
from monitord.store.annotations import AnnotationReader
from monitord.store.archive.archiver import Archiver
from monitord.store.endpoint_stats import EndpointReader
from monitord.store.errors import ErrorReader
from monitord.store.jobs import JobReader
from monitord.store.logs import LogReader
from monitord.store.metrics import MetricReader
from monitord.store.pool import Store
from monitord.store.recent_traces import RecentTraces
from monitord.store.request_events import RequestEvents
from monitord.store.requests import RequestReader
from monitord.store.retention import Keeper
from monitord.store.rollups import Compactor
from monitord.store.series import SeriesReader
from monitord.store.thinning import Thinner
from monitord.store.traces import TraceReader
from monitord.store.writer import Writer
from monitord.telemetry import Telemetry


class App(Struct, frozen=True, kw_only=True):
    """Every part of one running monitord, built and not yet started."""

    spool: Spool
    intake: Intake
    store: Store
    writer: Writer
    compactor: Compactor
    keeper: Keeper
    archiver: Archiver
    thinner: Thinner
    schedule: Schedule
    ingest: IngestServer
    web: WebServer


def build(settings: Settings, spool: Spool, store: Store, telemetry: Telemetry) -> App:
    """
    Return the parts, each given what it needs.

    Raises SettingsError: an address or a file of the settings cannot be used. AssetError: the
    installation lacks its data folders.
    """
    telemetry.collect_from(SpoolMetrics(spool))
    dead_letters = DeadLetterFile(settings.state_dir / "dead_letters.jsonl", telemetry)
    window, bus = Window(), Bus()
    redactor = Redactor(settings.redact, telemetry) if settings.redact.enabled else None
    intake = Intake(spool, window, bus, redactor)
    jobs = open_scrapers(settings.targets, telemetry)
    for job in jobs:
        window.expect(job.target, job.kind)
    ingest = IngestServer(settings.ingest, intake, telemetry, insecure=settings.insecure)
    keeper = Keeper(store, settings.store, spool.backlog, telemetry)
    events = RequestEvents(store)
    writer = Writer(store, spool, telemetry, dead_letters, settings.store.flush_every)
    ports = Ports(
        settings=settings,
        window=window,
        bus=bus,
        intake=intake,
        spool=spool,
        store=store,
        store_size=lambda: keeper.size,
        requests=RequestReader(store),
        events=events,
        endpoints=EndpointReader(store),
        metrics=MetricReader(store),
        logs=LogReader(store),
        traces=TraceReader(store, events),
        recent_traces=RecentTraces(store),
        errors=ErrorReader(store),
        annotations=AnnotationReader(store),
        series=SeriesReader(store),
        jobs=JobReader(store),
        telemetry=telemetry,
        kpis=kpis.load(assets.folder("config") / "kpis.yaml"),
        assets=static.load(assets.folder("web/dist")),
        checks=lambda: readiness(store),
        names=writer,
    )
    return App(
        spool=spool,
        intake=intake,
        store=store,
        writer=writer,
        compactor=Compactor(store),
        keeper=keeper,
        archiver=Archiver(store, settings.store.archive_requests_after),
        thinner=Thinner(store, settings.store.spans, spool.backlog, telemetry),
        schedule=Schedule(jobs, intake, window.note, telemetry),
        ingest=ingest,
        web=WebServer(ports),
    )


def readiness(store: Store) -> Mapping[str, bool]:
    """Say by name which parts are ready. The listeners are, once there is anybody to ask."""
    return {"store": bool(store.up)}

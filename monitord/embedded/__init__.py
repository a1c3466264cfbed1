"""The servers monitord brings itself: PostgreSQL for its store, Valkey for demo and tests."""

from monitord.embedded.postgres import EmbeddedPostgres, PostgresOptions
from monitord.embedded.valkey import EmbeddedValkey, ValkeyOptions


__all__ = ["EmbeddedPostgres", "EmbeddedValkey", "PostgresOptions", "ValkeyOptions"]

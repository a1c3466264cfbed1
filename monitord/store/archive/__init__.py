"""The archive of requests: days that are long over, packed. Its tables are in `docs/store.md`."""

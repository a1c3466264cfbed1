"""The durable log between everything that arrives and the store. `docs/spool.md` has its format."""

"""The store: monitord's tables in PostgreSQL, one writer, one reader per noun."""

"""What of the server's work is monitord's own: that in databases which only monitord uses."""

# A database with no session but monitord's holds its store; the one the scraper is connected to is
# the application's all the same. Background workers have no role. Needs no grant.
OWN_DATABASES = """
    SELECT a.datid
    FROM pg_catalog.pg_stat_activity AS a
    JOIN pg_catalog.pg_database AS d ON d.oid = a.datid
    WHERE a.usesysid IS NOT NULL
        AND d.datname <> current_database()
    GROUP BY a.datid
    HAVING bool_and(a.application_name = 'monitord')
"""

-- Run once by the image of PostgreSQL, as its superuser: one role for the shop, one for monitord's
-- store, and one with which monitord looks at the server and can do nothing else.
\getenv shop_password SHOP_PASSWORD
\getenv store_password STORE_PASSWORD
\getenv watch_password WATCH_PASSWORD

CREATE ROLE shop LOGIN PASSWORD :'shop_password';
CREATE DATABASE shop OWNER shop;

CREATE ROLE monitord_store LOGIN PASSWORD :'store_password';
CREATE DATABASE monitord OWNER monitord_store;

CREATE ROLE monitord LOGIN PASSWORD :'watch_password' CONNECTION LIMIT 3;
GRANT pg_read_all_stats TO monitord;
ALTER ROLE monitord SET default_transaction_read_only = on;
ALTER ROLE monitord SET statement_timeout = '5s';
ALTER ROLE monitord SET lock_timeout = '500ms';
ALTER ROLE monitord SET idle_in_transaction_session_timeout = '10s';

-- monitord reads it where it connects to.
\connect shop
CREATE EXTENSION pg_stat_statements;

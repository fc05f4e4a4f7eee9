-- The tables of apikey clusters in PostgreSQL, version 1.
--
-- A node creates them when it first connects, if its role may. Where roles must not create tables, run this file once as
-- the role that owns them, with the schema in which they are to lie first in the search path:
--
--   psql --single-transaction -c 'SET search_path = public' -f schema.sql
--
-- and grant the role of the nodes what it uses (the example has the role "apikey" and the schema "public"):
--
--   GRANT USAGE ON SCHEMA public TO apikey;
--   GRANT SELECT ON apikey_version TO apikey;
--   GRANT SELECT, INSERT, UPDATE, DELETE ON apikey_head, apikey_log, apikey_position, apikey_state, apikey_cell, apikey_tally, apikey_reservation TO apikey;
--
-- One set of tables serves every cluster of the database, each under its namespace, so that a new cluster needs no new
-- tables. Clusters that must not trust each other belong in different schemas, with different roles.

-- The version of these tables: one row.
CREATE TABLE apikey_version (
    version integer NOT NULL
);
INSERT INTO apikey_version VALUES (1);

-- The head of each log: the number and the digest of its last event. Every append updates the one row of its log: on a
-- page that is nearly empty the new version of the row lies beside the old one, and no index changes.
CREATE TABLE apikey_head (
    namespace text NOT NULL,
    generation bigint NOT NULL,
    number bigint NOT NULL,
    digest bytea NOT NULL,
    PRIMARY KEY (namespace, generation)
) WITH (
    fillfactor = 10, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_threshold = 10000
);

-- The entries of each log, by their last event.
CREATE TABLE apikey_log (
    namespace text NOT NULL,
    generation bigint NOT NULL,
    first bigint NOT NULL,
    last bigint NOT NULL,
    digest bytea NOT NULL,
    op bytea NOT NULL,
    bytes bytea NOT NULL,
    PRIMARY KEY (namespace, generation, last)
) WITH (autovacuum_vacuum_scale_factor = 0.05);
-- Most of an entry is digests, which do not compress.
ALTER TABLE apikey_log ALTER COLUMN bytes SET STORAGE EXTERNAL;

-- Where the state of each log stands, the head of a replica there, and the last event that the log no longer has.
CREATE TABLE apikey_position (
    namespace text NOT NULL,
    generation bigint NOT NULL,
    number bigint NOT NULL,
    digest bytea NOT NULL,
    head bytea NOT NULL,
    floor bigint NOT NULL,
    PRIMARY KEY (namespace, generation)
) WITH (
    fillfactor = 10, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_threshold = 10000
);

-- The images of each state.
CREATE TABLE apikey_state (
    namespace text NOT NULL,
    generation bigint NOT NULL,
    kind smallint NOT NULL,
    name bytea NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (namespace, generation, kind, name)
) WITH (fillfactor = 80);

-- The settings, presences, acknowledgements and holds. Nodes update theirs every few seconds or more often.
CREATE TABLE apikey_cell (
    namespace text NOT NULL,
    generation bigint NOT NULL,
    kind smallint NOT NULL,
    name text NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (namespace, generation, kind, name)
) WITH (
    fillfactor = 20, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_threshold = 10000
);

-- What nodes have counted: a row for each subject, time and node, which that node alone writes, every half minute while it
-- changes. The value of a new version is mostly as long as before, and lies on the same page.
CREATE TABLE apikey_tally (
    namespace text NOT NULL,
    generation bigint NOT NULL,
    name bytea NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (namespace, generation, name)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.1);

-- What nodes have reserved of quotas: a row for each quota that is in use.
CREATE TABLE apikey_reservation (
    namespace text NOT NULL,
    generation bigint NOT NULL,
    name bytea NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (namespace, generation, name)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.1);

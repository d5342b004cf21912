-- The index of a ledger: which jobs there are, and where their lines stand. Made again from the lines at any time.
-- Nothing of a payload is in it: no name, no command, no user.

-- How far each file of the ledger was read (scan.rs).
CREATE TABLE segments(
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    position BLOB NOT NULL,
    seal BLOB NOT NULL
);

-- One row for each job (row.rs). `state` and `open` only choose; 254 is a row without an intent, 3 is completed.
CREATE TABLE jobs(
    id BLOB PRIMARY KEY,
    places BLOB NOT NULL,
    submissions BLOB NOT NULL,
    state INTEGER NOT NULL,
    open INTEGER NOT NULL,
    seal BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX jobs_open ON jobs(open, id) WHERE open > 0;
CREATE INDEX jobs_state ON jobs(state, id) WHERE state <> 3;

-- Which job an engine means by its own id.
CREATE TABLE engines(key TEXT NOT NULL, job BLOB NOT NULL, PRIMARY KEY(key, job)) WITHOUT ROWID;

-- Images, their names (name.rs), and which jobs asked for one or measured it.
CREATE TABLE images(id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE);
CREATE TABLE names(name BLOB NOT NULL, image INTEGER NOT NULL, PRIMARY KEY(name, image)) WITHOUT ROWID;
CREATE TABLE uses(image INTEGER NOT NULL, job BLOB NOT NULL, PRIMARY KEY(image, job)) WITHOUT ROWID;

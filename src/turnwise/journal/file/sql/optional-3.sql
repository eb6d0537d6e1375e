-- Tables that a journal of format 3 may have or lack: what is observed or derived, and no head covers.

CREATE TABLE timings (
  round INTEGER PRIMARY KEY,
  started_us INTEGER NOT NULL,
  duration_us INTEGER NOT NULL,
  commit_start_us INTEGER NOT NULL,
  commit_us INTEGER NOT NULL,
  turns TEXT NOT NULL,
  effects TEXT NOT NULL,
  waves TEXT NOT NULL
);

CREATE TABLE snapshots (
  round INTEGER PRIMARY KEY,
  size INTEGER NOT NULL,
  data BLOB NOT NULL
);

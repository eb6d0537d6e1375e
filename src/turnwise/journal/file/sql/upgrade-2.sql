-- What makes a journal of format 1 one of format 2. No row changes.

ALTER TABLE rounds ADD COLUMN waves INTEGER NOT NULL DEFAULT 0;

CREATE TABLE waves (
  round INTEGER NOT NULL,
  nr INTEGER NOT NULL,
  wave INTEGER NOT NULL,
  model TEXT NOT NULL,
  requests,
  plan,
  PRIMARY KEY (round, nr)
) WITHOUT ROWID;

CREATE VIEW show_waves AS
SELECT round, nr, wave, model, CASE typeof(requests) WHEN 'integer' THEN (SELECT CAST(sqlar_uncompress(data, size) AS TEXT) FROM blobs WHERE blobs.id = requests) ELSE requests END AS requests, CASE typeof(plan) WHEN 'integer' THEN (SELECT CAST(sqlar_uncompress(data, size) AS TEXT) FROM blobs WHERE blobs.id = plan) ELSE plan END AS plan
FROM waves;

-- What makes a journal of format 2 one of format 3. No row changes.

ALTER TABLE rounds ADD COLUMN outcome BLOB;

CREATE TABLE changes (
  round INTEGER NOT NULL,
  nr INTEGER NOT NULL,
  what TEXT NOT NULL,
  target,
  value,
  PRIMARY KEY (round, nr)
) WITHOUT ROWID;

ALTER TABLE rounds ADD COLUMN state BLOB;

ALTER TABLE ends ADD COLUMN head BLOB;

ALTER TABLE effects ADD COLUMN tokens;

DROP VIEW show_effects;

CREATE VIEW show_effects AS
SELECT round, place, agents.name AS agent, nr, effects.kind AS kind, model, CASE typeof(request) WHEN 'integer' THEN (SELECT CAST(sqlar_uncompress(data, size) AS TEXT) FROM blobs WHERE blobs.id = request) ELSE request END AS request,
  CASE typeof(reply) WHEN 'integer' THEN (SELECT CAST(sqlar_uncompress(data, size) AS TEXT) FROM blobs WHERE blobs.id = reply) ELSE reply END AS reply,
  CASE typeof(tokens) WHEN 'integer' THEN (SELECT CAST(sqlar_uncompress(data, size) AS TEXT) FROM blobs WHERE blobs.id = tokens) ELSE tokens END AS tokens
FROM effects JOIN agents USING (place);

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

CREATE TABLE parks (
  round INTEGER NOT NULL,
  place INTEGER NOT NULL,
  turn INTEGER NOT NULL,
  inbox,
  backlog INTEGER NOT NULL,
  calls,
  spent INTEGER NOT NULL,
  fuel INTEGER NOT NULL,
  executions INTEGER NOT NULL,
  PRIMARY KEY (round, place)
) WITHOUT ROWID;

CREATE TABLE questions (
  id INTEGER PRIMARY KEY,
  round INTEGER NOT NULL,
  place INTEGER NOT NULL,
  nr INTEGER NOT NULL,
  kind TEXT NOT NULL,
  request,
  deadline INTEGER
);

CREATE TABLE answers (
  round INTEGER NOT NULL,
  nr INTEGER NOT NULL,
  question INTEGER NOT NULL,
  reply,
  PRIMARY KEY (round, nr)
) WITHOUT ROWID;

CREATE VIEW show_questions AS
SELECT questions.id AS id, questions.round AS round, place, agents.name AS agent, questions.nr AS nr, questions.kind AS kind, CASE typeof(request) WHEN 'integer' THEN (SELECT CAST(sqlar_uncompress(data, size) AS TEXT) FROM blobs WHERE blobs.id = request) ELSE request END AS request, deadline, answers.round AS answered_round, CASE typeof(reply) WHEN 'integer' THEN (SELECT CAST(sqlar_uncompress(data, size) AS TEXT) FROM blobs WHERE blobs.id = reply) ELSE reply END AS reply
FROM questions JOIN agents USING (place) LEFT JOIN answers ON answers.question = questions.id;

ALTER TABLE messages ADD COLUMN attach;

CREATE TABLE contents (
  round INTEGER NOT NULL,
  place INTEGER NOT NULL,
  nr INTEGER NOT NULL,
  blob INTEGER NOT NULL,
  PRIMARY KEY (round, place, nr)
) WITHOUT ROWID;

DROP VIEW show_messages;

CREATE VIEW show_messages AS
SELECT seq, round, sender, coalesce(agents.name, 'outside') AS sender_name, receiver, CASE typeof(body) WHEN 'integer' THEN (SELECT CAST(sqlar_uncompress(data, size) AS TEXT) FROM blobs WHERE blobs.id = body) ELSE body END AS body,
  CASE typeof(recipients) WHEN 'integer' THEN (SELECT CAST(sqlar_uncompress(data, size) AS TEXT) FROM blobs WHERE blobs.id = recipients) ELSE recipients END AS recipients, attach
FROM messages LEFT JOIN agents ON agents.place = messages.sender;

CREATE TABLE received (
  round INTEGER PRIMARY KEY,
  box TEXT NOT NULL,
  position INTEGER NOT NULL
);

CREATE TABLE ahead (
  place INTEGER NOT NULL,
  turn INTEGER NOT NULL,
  nr INTEGER NOT NULL,
  stage INTEGER NOT NULL,
  request TEXT NOT NULL,
  made INTEGER NOT NULL,
  parked INTEGER NOT NULL,
  outcome TEXT,
  tokens TEXT,
  PRIMARY KEY (place, turn, nr, stage)
) WITHOUT ROWID;

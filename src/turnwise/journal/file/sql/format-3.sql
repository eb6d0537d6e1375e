-- What a journal of format 3 contains, exactly as SQLite keeps the texts: outcomes of rounds and heads of ends.

CREATE TABLE meta (
  name TEXT NOT NULL PRIMARY KEY,
  value
) WITHOUT ROWID;

CREATE TABLE writers (
  id INTEGER PRIMARY KEY,
  round INTEGER NOT NULL,
  versions,
  info
);

CREATE TABLE codes (
  code TEXT NOT NULL PRIMARY KEY,
  carrier TEXT NOT NULL,
  entry TEXT NOT NULL,
  interpreter TEXT
) WITHOUT ROWID;

CREATE TABLE code_files (
  code TEXT NOT NULL,
  nr INTEGER NOT NULL,
  name TEXT NOT NULL,
  blob INTEGER NOT NULL,
  PRIMARY KEY (code, nr)
) WITHOUT ROWID;

CREATE TABLE agents (
  place INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  kind TEXT NOT NULL,
  args,
  state,
  born INTEGER NOT NULL,
  parent INTEGER,
  grants
);

CREATE TABLE rounds (
  round INTEGER PRIMARY KEY,
  head BLOB NOT NULL,
  execution BLOB NOT NULL,
  message_first INTEGER,
  turns INTEGER NOT NULL,
  failed INTEGER NOT NULL,
  effects INTEGER NOT NULL,
  logs INTEGER NOT NULL,
  records INTEGER NOT NULL,
  inputs INTEGER NOT NULL,
  messages INTEGER NOT NULL,
  spawned INTEGER NOT NULL,
  agents INTEGER NOT NULL,
  stopped INTEGER NOT NULL,
  fuel INTEGER NOT NULL
, waves INTEGER NOT NULL DEFAULT 0, outcome BLOB, state BLOB);

CREATE TABLE turns (
  round INTEGER NOT NULL,
  place INTEGER NOT NULL,
  turn INTEGER NOT NULL,
  inbox,
  failure TEXT,
  message,
  state,
  wake_in INTEGER,
  extra,
  stdout,
  fuel INTEGER NOT NULL,
  executions INTEGER NOT NULL,
  PRIMARY KEY (round, place)
) WITHOUT ROWID;

CREATE TABLE effects (
  round INTEGER NOT NULL,
  place INTEGER NOT NULL,
  nr INTEGER NOT NULL,
  kind TEXT NOT NULL,
  model TEXT,
  request,
  reply, tokens,
  PRIMARY KEY (round, place, nr)
) WITHOUT ROWID;

CREATE TABLE messages (
  seq INTEGER PRIMARY KEY,
  round INTEGER NOT NULL,
  sender INTEGER,
  receiver TEXT NOT NULL,
  body,
  recipients
, attach);

CREATE TABLE logs (
  round INTEGER NOT NULL,
  place INTEGER NOT NULL,
  nr INTEGER NOT NULL,
  level TEXT NOT NULL,
  text,
  PRIMARY KEY (round, place, nr)
) WITHOUT ROWID;

CREATE TABLE records (
  round INTEGER NOT NULL,
  place INTEGER NOT NULL,
  nr INTEGER NOT NULL,
  name TEXT NOT NULL,
  value NOT NULL,
  PRIMARY KEY (round, place, nr)
) WITHOUT ROWID;

CREATE TABLE stops (
  round INTEGER NOT NULL,
  nr INTEGER NOT NULL,
  place INTEGER NOT NULL,
  PRIMARY KEY (round, nr)
) WITHOUT ROWID;

CREATE TABLE ends (
  id INTEGER PRIMARY KEY,
  round INTEGER NOT NULL,
  reason TEXT NOT NULL,
  result,
  message
, head BLOB);

CREATE TABLE changes (
  round INTEGER NOT NULL,
  nr INTEGER NOT NULL,
  what TEXT NOT NULL,
  target,
  value,
  PRIMARY KEY (round, nr)
) WITHOUT ROWID;

CREATE TABLE blobs (
  id INTEGER PRIMARY KEY,
  hash BLOB NOT NULL,
  size INTEGER NOT NULL,
  data BLOB NOT NULL
);

CREATE TABLE contents (
  round INTEGER NOT NULL,
  place INTEGER NOT NULL,
  nr INTEGER NOT NULL,
  blob INTEGER NOT NULL,
  PRIMARY KEY (round, place, nr)
) WITHOUT ROWID;

CREATE TABLE waves (
  round INTEGER NOT NULL,
  nr INTEGER NOT NULL,
  wave INTEGER NOT NULL,
  model TEXT NOT NULL,
  requests,
  plan,
  PRIMARY KEY (round, nr)
) WITHOUT ROWID;

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

CREATE VIEW show_turns AS
SELECT round, place, agents.name AS agent, turn, CASE typeof(inbox) WHEN 'integer' THEN (SELECT CAST(sqlar_uncompress(data, size) AS TEXT) FROM blobs WHERE blobs.id = inbox) ELSE inbox END AS inbox, failure, CASE typeof(message) WHEN 'integer' THEN (SELECT CAST(sqlar_uncompress(data, size) AS TEXT) FROM blobs WHERE blobs.id = message) ELSE message END AS message,
  CASE typeof(turns.state) WHEN 'integer' THEN (SELECT CAST(sqlar_uncompress(data, size) AS TEXT) FROM blobs WHERE blobs.id = turns.state) ELSE turns.state END AS state, wake_in, CASE typeof(extra) WHEN 'integer' THEN (SELECT CAST(sqlar_uncompress(data, size) AS TEXT) FROM blobs WHERE blobs.id = extra) ELSE extra END AS extra, CASE typeof(stdout) WHEN 'integer' THEN (SELECT CAST(sqlar_uncompress(data, size) AS TEXT) FROM blobs WHERE blobs.id = stdout) ELSE stdout END AS stdout, fuel, executions
FROM turns JOIN agents USING (place);

CREATE VIEW show_messages AS
SELECT seq, round, sender, coalesce(agents.name, 'outside') AS sender_name, receiver, CASE typeof(body) WHEN 'integer' THEN (SELECT CAST(sqlar_uncompress(data, size) AS TEXT) FROM blobs WHERE blobs.id = body) ELSE body END AS body,
  CASE typeof(recipients) WHEN 'integer' THEN (SELECT CAST(sqlar_uncompress(data, size) AS TEXT) FROM blobs WHERE blobs.id = recipients) ELSE recipients END AS recipients, attach
FROM messages LEFT JOIN agents ON agents.place = messages.sender;

CREATE VIEW show_effects AS
SELECT round, place, agents.name AS agent, nr, effects.kind AS kind, model, CASE typeof(request) WHEN 'integer' THEN (SELECT CAST(sqlar_uncompress(data, size) AS TEXT) FROM blobs WHERE blobs.id = request) ELSE request END AS request,
  CASE typeof(reply) WHEN 'integer' THEN (SELECT CAST(sqlar_uncompress(data, size) AS TEXT) FROM blobs WHERE blobs.id = reply) ELSE reply END AS reply,
  CASE typeof(tokens) WHEN 'integer' THEN (SELECT CAST(sqlar_uncompress(data, size) AS TEXT) FROM blobs WHERE blobs.id = tokens) ELSE tokens END AS tokens
FROM effects JOIN agents USING (place);

CREATE VIEW show_logs AS
SELECT round, place, agents.name AS agent, nr, level, CASE typeof(text) WHEN 'integer' THEN (SELECT CAST(sqlar_uncompress(data, size) AS TEXT) FROM blobs WHERE blobs.id = text) ELSE text END AS text
FROM logs JOIN agents USING (place);

CREATE VIEW show_records AS
SELECT round, place, agents.name AS agent, nr, records.name AS name, value
FROM records JOIN agents USING (place);

CREATE VIEW show_waves AS
SELECT round, nr, wave, model, CASE typeof(requests) WHEN 'integer' THEN (SELECT CAST(sqlar_uncompress(data, size) AS TEXT) FROM blobs WHERE blobs.id = requests) ELSE requests END AS requests, CASE typeof(plan) WHEN 'integer' THEN (SELECT CAST(sqlar_uncompress(data, size) AS TEXT) FROM blobs WHERE blobs.id = plan) ELSE plan END AS plan
FROM waves;

CREATE VIEW show_questions AS
SELECT questions.id AS id, questions.round AS round, place, agents.name AS agent, questions.nr AS nr, questions.kind AS kind, CASE typeof(request) WHEN 'integer' THEN (SELECT CAST(sqlar_uncompress(data, size) AS TEXT) FROM blobs WHERE blobs.id = request) ELSE request END AS request, deadline, answers.round AS answered_round, CASE typeof(reply) WHEN 'integer' THEN (SELECT CAST(sqlar_uncompress(data, size) AS TEXT) FROM blobs WHERE blobs.id = reply) ELSE reply END AS reply
FROM questions JOIN agents USING (place) LEFT JOIN answers ON answers.question = questions.id;

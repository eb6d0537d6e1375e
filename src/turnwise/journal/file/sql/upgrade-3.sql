-- What makes a journal of format 2 one of format 3. No row changes.

ALTER TABLE rounds ADD COLUMN outcome BLOB;

ALTER TABLE ends ADD COLUMN head BLOB;

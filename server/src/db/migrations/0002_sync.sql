-- The sync protocol: devices, tokens, pairing, resumable uploads, claims, what is settled, what changed.

-- A phone, computer or browser that signed in. It outlives its sessions.
CREATE TABLE devices (
  device_id       TEXT PRIMARY KEY,
  account_uuid    TEXT NOT NULL REFERENCES accounts (account_uuid),
  label           TEXT NOT NULL,                       -- what a person calls it
  created_at_ms   INTEGER NOT NULL,
  last_seen_at_ms INTEGER NOT NULL,
  inventory_at_ms INTEGER,                             -- last time it found that all it has is settled
  settled_set     INTEGER NOT NULL DEFAULT 1,          -- which rows of table settled count; older ones wait to be swept
  settled_count   INTEGER NOT NULL DEFAULT 0,          -- how many rows of table settled count
  settled_sum     BLOB NOT NULL                        -- sum of their digests, big-endian, modulo 2^256
) STRICT;
CREATE INDEX devices_account ON devices (account_uuid);

ALTER TABLE sessions ADD COLUMN device_id TEXT REFERENCES devices (device_id);
-- Opaque tokens rotate: the one before still works for a minute, for the answer may have been lost.
ALTER TABLE sessions ADD COLUMN previous_token_hash BLOB;
ALTER TABLE sessions ADD COLUMN previous_until_ms INTEGER;
CREATE UNIQUE INDEX sessions_token ON sessions (token_hash) WHERE token_hash IS NOT NULL;
CREATE INDEX sessions_previous ON sessions (previous_token_hash) WHERE previous_token_hash IS NOT NULL;
CREATE INDEX sessions_device ON sessions (device_id) WHERE device_id IS NOT NULL;

-- One offer to add a device. Dies of use, age or wrong tries.
CREATE TABLE pairings (
  pairing_id    TEXT PRIMARY KEY,
  account_uuid  TEXT NOT NULL REFERENCES accounts (account_uuid),
  code_hash     BLOB NOT NULL,                         -- SHA-256 of the 8 characters a person types
  secret_hash   BLOB NOT NULL,                         -- SHA-256 of the QR code's token
  created_at_ms INTEGER NOT NULL,
  expires_at_ms INTEGER NOT NULL,
  wrong_tries   INTEGER NOT NULL DEFAULT 0,
  used_at_ms    INTEGER
) STRICT;

-- What devices say about an asset, one row for each device that said something. Never changes the asset.
CREATE TABLE claims (
  asset_id      TEXT NOT NULL REFERENCES assets (asset_id) ON DELETE CASCADE,
  device_id     TEXT NOT NULL,                         -- who says so; '' for an old client
  claims_json   TEXT NOT NULL,                         -- protocol::v2::claims::Claims
  claimed_at_ms INTEGER NOT NULL,                      -- when it first said something: the first device to say a thing wins
  PRIMARY KEY (asset_id, device_id)
) STRICT;

-- Digests for which a device has nothing more to do: held here, or deleted by a person. Emptying a whole set is one
-- step, devices.settled_set + 1; its rows are swept afterwards.
CREATE TABLE settled (
  device_id TEXT NOT NULL REFERENCES devices (device_id) ON DELETE CASCADE,
  set_no    INTEGER NOT NULL,
  digest    BLOB NOT NULL,
  PRIMARY KEY (device_id, set_no, digest)
) STRICT, WITHOUT ROWID;

-- What changed last, for each asset: the account's library_version at its last change.
ALTER TABLE assets ADD COLUMN changed_version INTEGER NOT NULL DEFAULT 0;
CREATE INDEX assets_changed ON assets (account_uuid, changed_version, asset_id);
-- Who put it in the trash: 1 a person in the library (do not send it again), 0 a device's purge.
ALTER TABLE assets ADD COLUMN trashed_by_person INTEGER NOT NULL DEFAULT 0;

-- Assets that are gone for good. Shapes only what `missing` and `changes` tell; nothing is acknowledged for one.
CREATE TABLE removed_assets (
  account_uuid    TEXT NOT NULL REFERENCES accounts (account_uuid),
  digest          BLOB NOT NULL,
  asset_id        TEXT NOT NULL,
  by_person       INTEGER NOT NULL,                    -- 1: do not ask devices for it again
  changed_version INTEGER NOT NULL,
  removed_at_ms   INTEGER NOT NULL,
  PRIMARY KEY (account_uuid, digest)
) STRICT;
CREATE INDEX removed_assets_changed ON removed_assets (account_uuid, changed_version, asset_id);

-- Resumable uploads. Their bytes are in <account>/.staging/tus-<upload_id>.
CREATE TABLE tus_uploads (
  upload_id      TEXT PRIMARY KEY,
  account_uuid   TEXT NOT NULL REFERENCES accounts (account_uuid),
  device_id      TEXT NOT NULL,                        -- '' for an old client
  length_bytes   INTEGER,                              -- NULL while deferred
  synced_bytes   INTEGER NOT NULL DEFAULT 0,           -- durable prefix of the file: all that a power cut leaves for sure
  digest         BLOB,                                 -- declared SHA-256 of the whole file
  name           TEXT NOT NULL,
  claims_json    TEXT NOT NULL,
  metadata       TEXT NOT NULL,                        -- Upload-Metadata as it was sent
  kind           TEXT NOT NULL CHECK (kind IN ('whole', 'partial', 'final')),
  parts          TEXT NOT NULL DEFAULT '',             -- upload ids of a final one, in order, separated by blanks
  asset_id       TEXT,                                 -- what it became: completion can be asked again
  created_at_ms  INTEGER NOT NULL,
  expires_at_ms  INTEGER NOT NULL
) STRICT;
CREATE INDEX tus_uploads_same ON tus_uploads (account_uuid, digest) WHERE digest IS NOT NULL;
CREATE INDEX tus_uploads_expiry ON tus_uploads (expires_at_ms);

-- Digests that wait to be re-read, oldest request first.
CREATE TABLE verify_queue (
  account_uuid    TEXT NOT NULL REFERENCES accounts (account_uuid),
  asset_id        TEXT NOT NULL REFERENCES assets (asset_id) ON DELETE CASCADE,
  requested_at_ms INTEGER NOT NULL,
  PRIMARY KEY (asset_id)
) STRICT;
CREATE INDEX verify_queue_order ON verify_queue (requested_at_ms);

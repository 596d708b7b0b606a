-- The schema of a backup server. Times are Unix milliseconds UTC (*_ms), sizes are bytes (*_bytes), booleans are
-- 0/1, UUIDs are lower-case text, digests are 32 bytes of SHA-256, other ids are 32 hex digits of random bits.

-- Facts about this database: 'server_id', and 'volume:<role>' = the id in each storage root's volume.json.
CREATE TABLE facts (
  name  TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT;

-- One person's sign-in. A row is never deleted: its UUID must never be given to somebody else.
CREATE TABLE accounts (
  account_uuid       TEXT PRIMARY KEY,
  user_id            INTEGER NOT NULL UNIQUE,          -- the old clients' userId: random, 53 bits
  email              TEXT NOT NULL,                    -- normalised
  generation         INTEGER NOT NULL,                 -- how many accounts of this e-mail there were, from 1
  role               TEXT NOT NULL CHECK (role IN ('admin', 'creator', 'member', 'viewer')),
  password_hash      TEXT,                             -- PHC string, or bcrypt until the next sign-in; NULL = locked
  hardware_device_id TEXT,                             -- SHA-256 hex of the old clients' reset id
  disabled           INTEGER NOT NULL DEFAULT 0,
  created_at_ms      INTEGER NOT NULL,
  deleted_at_ms      INTEGER,                          -- bytes follow after the trash period
  erased_at_ms       INTEGER,                          -- bytes are gone
  next_seq           INTEGER NOT NULL DEFAULT 1,       -- arrival number of the next asset
  library_version    INTEGER NOT NULL DEFAULT 0,       -- rises with every change that a listing can show
  held_count         INTEGER NOT NULL DEFAULT 0,       -- assets that a listing shows
  held_bytes         INTEGER NOT NULL DEFAULT 0,
  relay_bytes        INTEGER NOT NULL DEFAULT 0,       -- sealed bytes outside the trash
  relay_manifests    INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX accounts_email ON accounts (email) WHERE deleted_at_ms IS NULL;

-- E-mails that may register although registration is not open.
CREATE TABLE invites (
  email         TEXT PRIMARY KEY,
  created_at_ms INTEGER NOT NULL
) STRICT;

-- UUIDs that old clients derive from e-mail and password. An alias names an account, never a folder.
CREATE TABLE aliases (
  legacy_uuid   TEXT PRIMARY KEY,
  account_uuid  TEXT NOT NULL REFERENCES accounts (account_uuid),
  derived       INTEGER NOT NULL,                      -- 1: the server derived it from a verified password
  created_at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX aliases_account ON aliases (account_uuid);

-- One row per sign-in. A token without a live row opens nothing.
CREATE TABLE sessions (
  session_id      TEXT PRIMARY KEY,                    -- the token's jti
  account_uuid    TEXT NOT NULL REFERENCES accounts (account_uuid),
  kind            TEXT NOT NULL CHECK (kind IN ('web', 'device', 'api')),
  scope           TEXT NOT NULL CHECK (scope IN ('full', 'upload_only', 'dav', 'repository')),
  label           TEXT NOT NULL,
  legacy_uuid     TEXT,                                -- exactly as the client spells it
  token_hash      BLOB,                                -- SHA-256 of an opaque token; NULL for a JWT
  created_at_ms   INTEGER NOT NULL,
  last_seen_at_ms INTEGER NOT NULL,
  expires_at_ms   INTEGER NOT NULL,
  revoked_at_ms   INTEGER
) STRICT;
CREATE INDEX sessions_account ON sessions (account_uuid);
CREATE INDEX sessions_expiry ON sessions (expires_at_ms);

-- One original, bit-exact. Held = not in the trash, not quarantined, retention 'keep'.
CREATE TABLE assets (
  asset_id          TEXT PRIMARY KEY,
  account_uuid      TEXT NOT NULL REFERENCES accounts (account_uuid),
  seq               INTEGER NOT NULL,                  -- order of arrival within the account
  digest            BLOB NOT NULL,
  size_bytes        INTEGER NOT NULL CHECK (size_bytes > 0),
  name              TEXT NOT NULL,                     -- as listed, exact
  stored_name       TEXT NOT NULL,                     -- as on disk
  name_fold         TEXT NOT NULL,
  stored_fold       TEXT NOT NULL,
  media_type        TEXT NOT NULL,                     -- from the bytes, never from the label
  retention         TEXT NOT NULL CHECK (retention IN ('keep', 'ephemeral', 'until_unshared')),
  arrived_at_ms     INTEGER NOT NULL,
  captured_at_ms    INTEGER,                           -- unknown until the media worker has looked
  verified_at_ms    INTEGER,                           -- last time the bytes were re-read and hashed
  trashed_at_ms     INTEGER,                           -- takes effect at commit; the bytes move afterwards
  quarantined_at_ms INTEGER,                           -- bytes missing or wrong: wanted again
  listed            INTEGER NOT NULL DEFAULT 1         -- 1 exactly while the asset is held
) STRICT;
CREATE UNIQUE INDEX assets_digest ON assets (account_uuid, digest);
CREATE UNIQUE INDEX assets_name ON assets (account_uuid, name_fold) WHERE trashed_at_ms IS NULL;
CREATE UNIQUE INDEX assets_stored ON assets (account_uuid, stored_fold) WHERE trashed_at_ms IS NULL;
CREATE INDEX assets_listed ON assets (account_uuid, seq) WHERE listed = 1;
CREATE INDEX assets_trashed ON assets (trashed_at_ms) WHERE trashed_at_ms IS NOT NULL;

-- Sealed chunks of the relay. The id is the SHA-256 of the sealed bytes.
CREATE TABLE relay_chunks (
  account_uuid  TEXT NOT NULL REFERENCES accounts (account_uuid),
  chunk_id      TEXT NOT NULL,
  size_bytes    INTEGER NOT NULL,
  stored_at_ms  INTEGER NOT NULL,
  trashed_at_ms INTEGER,
  PRIMARY KEY (account_uuid, chunk_id)
) STRICT;
CREATE INDEX relay_chunks_trashed ON relay_chunks (trashed_at_ms) WHERE trashed_at_ms IS NOT NULL;

-- Sealed manifests of the relay: the first writer of an id wins.
CREATE TABLE relay_manifests (
  account_uuid  TEXT NOT NULL REFERENCES accounts (account_uuid),
  manifest_id   TEXT NOT NULL,
  size_bytes    INTEGER NOT NULL,
  stored_at_ms  INTEGER NOT NULL,
  trashed_at_ms INTEGER,
  PRIMARY KEY (account_uuid, manifest_id)
) STRICT;
CREATE INDEX relay_manifests_trashed ON relay_manifests (trashed_at_ms) WHERE trashed_at_ms IS NOT NULL;

-- Opaque state of an old client, by the device UUID of its token.
CREATE TABLE relay_device_states (
  account_uuid  TEXT NOT NULL REFERENCES accounts (account_uuid),
  legacy_uuid   TEXT NOT NULL,
  state_json    TEXT NOT NULL,
  updated_at_ms INTEGER NOT NULL,
  PRIMARY KEY (account_uuid, legacy_uuid)
) STRICT;

-- Plans, as the old subscription service tells them. Only read where plans are enforced.
CREATE TABLE plans (
  account_uuid   TEXT PRIMARY KEY REFERENCES accounts (account_uuid),
  plan_gb        INTEGER,
  customer_id    TEXT,                                 -- the old clients' device UUID at the last sign-in
  product_id     TEXT,
  entitlement_id TEXT,
  status         TEXT NOT NULL,
  expires_at_ms  INTEGER,
  grace_until_ms INTEGER,
  trial_until_ms INTEGER,
  deleted_at_ms  INTEGER,
  updated_at_ms  INTEGER NOT NULL
) STRICT;
CREATE INDEX plans_customer ON plans (customer_id);

-- Work that a transaction asked for. Jobs are idempotent; one that failed stays, with its last error.
CREATE TABLE jobs (
  job_id          TEXT PRIMARY KEY,
  kind            TEXT NOT NULL,
  subject         TEXT NOT NULL,
  due_at_ms       INTEGER NOT NULL,
  attempts        INTEGER NOT NULL DEFAULT 0,
  last_error      TEXT,
  leased_by       TEXT,
  leased_until_ms INTEGER
) STRICT;
CREATE INDEX jobs_due ON jobs (due_at_ms);

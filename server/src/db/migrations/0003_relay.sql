-- Version 2 of the relay: objects of four kinds in the store of the version-1 chunks (the rule is the same: the id is
-- the SHA-256 of the bytes), the chains of segments that put them in order, and the keyrings.

-- C chunk, M manifest, S segment, K keyring, as the clear head says; NULL for an object of version 1.
ALTER TABLE relay_chunks ADD COLUMN kind TEXT CHECK (kind IN ('C', 'M', 'S', 'K'));
-- 1: only clients of version 2 sent it, which say what they use. 0: nobody can know what uses it; never collected.
ALTER TABLE relay_chunks ADD COLUMN collectable INTEGER NOT NULL DEFAULT 0;
-- When a segment first named it, or it became a segment or keyring itself. NULL: nothing that was finished uses it.
ALTER TABLE relay_chunks ADD COLUMN live_at_ms INTEGER;
-- Found missing or wrong on disk: not held until it is sent again.
ALTER TABLE relay_chunks ADD COLUMN damaged_at_ms INTEGER;
CREATE INDEX relay_chunks_orphans ON relay_chunks (stored_at_ms)
  WHERE collectable = 1 AND live_at_ms IS NULL AND trashed_at_ms IS NULL;

-- Which segment has which number in whose chain. Never changed, never removed by a device; only emptying the whole
-- relay puts chains in the trash.
CREATE TABLE relay_segments (
  account_uuid  TEXT NOT NULL REFERENCES accounts (account_uuid),
  writer        TEXT NOT NULL,                         -- 32 hex digits, chosen by the client
  sequence      INTEGER NOT NULL CHECK (sequence > 0),
  chunk_id      TEXT NOT NULL,
  device_id     TEXT NOT NULL,                         -- who posted it
  stored_at_ms  INTEGER NOT NULL,
  trashed_at_ms INTEGER
) STRICT;
CREATE UNIQUE INDEX relay_segments_place ON relay_segments (account_uuid, writer, sequence) WHERE trashed_at_ms IS NULL;
CREATE INDEX relay_segments_trashed ON relay_segments (trashed_at_ms) WHERE trashed_at_ms IS NOT NULL;

-- Every keyring there was; the one with the highest number counts.
CREATE TABLE relay_keyrings (
  account_uuid  TEXT NOT NULL REFERENCES accounts (account_uuid),
  sequence      INTEGER NOT NULL CHECK (sequence > 0),
  chunk_id      TEXT NOT NULL,
  device_id     TEXT NOT NULL,
  stored_at_ms  INTEGER NOT NULL,
  trashed_at_ms INTEGER
) STRICT;
CREATE UNIQUE INDEX relay_keyrings_place ON relay_keyrings (account_uuid, sequence) WHERE trashed_at_ms IS NULL;
CREATE INDEX relay_keyrings_trashed ON relay_keyrings (trashed_at_ms) WHERE trashed_at_ms IS NOT NULL;

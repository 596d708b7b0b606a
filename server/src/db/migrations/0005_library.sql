-- The library that people look at: when a picture was taken, what it says of itself, what people say of it, albums, and
-- browsers that are signed in.

-- What the timeline needs of an original, beside its row, so that a page is one range of an index.
ALTER TABLE assets ADD COLUMN kind TEXT NOT NULL DEFAULT 'file' CHECK (kind IN ('photo', 'video', 'file'));
-- The clock on the wall when it was taken, as if it had been UTC; from the best source there is, at last the arrival. Orders
-- the timeline, and does not depend on any zone.
ALTER TABLE assets ADD COLUMN taken_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE assets ADD COLUMN taken_offset_minutes INTEGER;      -- east of UTC; NULL: nobody knows
ALTER TABLE assets ADD COLUMN taken_source TEXT NOT NULL DEFAULT 'arrival';
ALTER TABLE assets ADD COLUMN width INTEGER NOT NULL DEFAULT 0;  -- pixels as shown, turned upright; 0: unknown
ALTER TABLE assets ADD COLUMN height INTEGER NOT NULL DEFAULT 0;
ALTER TABLE assets ADD COLUMN duration_ms INTEGER;
ALTER TABLE assets ADD COLUMN placeholder BLOB;                  -- ThumbHash
ALTER TABLE assets ADD COLUMN favourite INTEGER NOT NULL DEFAULT 0;
ALTER TABLE assets ADD COLUMN archived INTEGER NOT NULL DEFAULT 0;
ALTER TABLE assets ADD COLUMN rating INTEGER NOT NULL DEFAULT 0 CHECK (rating BETWEEN 0 AND 5);
ALTER TABLE assets ADD COLUMN caption TEXT NOT NULL DEFAULT '';
ALTER TABLE assets ADD COLUMN pair_id TEXT;                      -- the same for both halves of a Live or Motion Photo
ALTER TABLE assets ADD COLUMN hidden INTEGER NOT NULL DEFAULT 0; -- 1: the moving half of a pair; its still shows both
-- The row is its own job: when the media worker is to look at it (again). NULL: nothing to do. Whoever takes the job moves it
-- into the future, so that it comes back if that one dies.
ALTER TABLE assets ADD COLUMN media_due_at_ms INTEGER DEFAULT 0;
ALTER TABLE assets ADD COLUMN media_attempts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE assets ADD COLUMN media_state TEXT NOT NULL DEFAULT 'waiting' CHECK (media_state IN ('waiting', 'done', 'failed'));
ALTER TABLE assets ADD COLUMN media_error TEXT;                  -- class of the failure, stable word

UPDATE assets
SET taken_ms = arrived_at_ms,
    kind = CASE substr(media_type, 1, 6) WHEN 'image/' THEN 'photo' WHEN 'video/' THEN 'video' ELSE 'file' END;

-- With what a day of the timeline is made of, so that making one reads this index alone.
CREATE INDEX assets_timeline ON assets (account_uuid, taken_ms, asset_id, archived, width, height, listed, hidden)
  WHERE listed = 1 AND hidden = 0;
CREATE INDEX assets_favourite ON assets (account_uuid, taken_ms, asset_id) WHERE listed = 1 AND hidden = 0 AND favourite = 1;
CREATE INDEX assets_video ON assets (account_uuid, taken_ms, asset_id) WHERE listed = 1 AND archived = 0 AND hidden = 0 AND kind = 'video';
CREATE INDEX assets_archived ON assets (account_uuid, taken_ms, asset_id) WHERE listed = 1 AND hidden = 0 AND archived = 1;
CREATE INDEX assets_in_trash ON assets (account_uuid, trashed_at_ms, asset_id) WHERE trashed_at_ms IS NOT NULL;
CREATE INDEX assets_waiting ON assets (account_uuid) WHERE listed = 1 AND media_state = 'waiting';
CREATE INDEX assets_unshowable ON assets (account_uuid, taken_ms, asset_id) WHERE listed = 1 AND hidden = 0 AND media_state = 'failed';
CREATE INDEX assets_pair ON assets (account_uuid, pair_id) WHERE pair_id IS NOT NULL;
CREATE INDEX assets_media ON assets (media_due_at_ms) WHERE media_due_at_ms IS NOT NULL;
CREATE INDEX assets_media_failed ON assets (media_error) WHERE media_error IS NOT NULL;

-- One day of a timeline: a cache of what the rows of assets say, made again when it is stale. The day stays with a count of 0
-- when its last picture goes, so that whoever asks what changed is told.
CREATE TABLE timeline_days (
  account_uuid    TEXT NOT NULL REFERENCES accounts (account_uuid),
  day             INTEGER NOT NULL,                    -- days since 1970-01-01 on the wall
  stale           INTEGER NOT NULL DEFAULT 1,          -- how often it was marked since it was last made; 0: it is as it should be
  changed_version INTEGER NOT NULL DEFAULT 0,          -- library_version when it was last made
  count           INTEGER NOT NULL DEFAULT 0,
  shape           BLOB,                                -- a byte for each picture, newest first: its aspect ratio
  starts          TEXT NOT NULL DEFAULT '',            -- cursors of every 500th picture after the first, separated by blanks
  PRIMARY KEY (account_uuid, day)
) STRICT, WITHOUT ROWID;
CREATE INDEX timeline_days_stale ON timeline_days (account_uuid, day) WHERE stale > 0;
CREATE INDEX timeline_days_changed ON timeline_days (account_uuid, changed_version);
INSERT INTO timeline_days (account_uuid, day)
  SELECT DISTINCT account_uuid, taken_ms / 86400000 FROM assets WHERE listed = 1;

-- What the media worker read in an original. Made again at will.
CREATE TABLE asset_facts (
  asset_id      TEXT PRIMARY KEY REFERENCES assets (asset_id) ON DELETE CASCADE,
  account_uuid  TEXT NOT NULL,
  camera        TEXT,                                  -- make and model, as people say it
  lens          TEXT,
  latitude_e7   INTEGER,                               -- degrees times 10^7, north positive
  longitude_e7  INTEGER,                               -- east positive
  payload_hash  BLOB,                                  -- SHA-256 of the picture without its metadata
  dhash         BLOB,                                  -- 8 bytes: what it looks like
  facts_json    TEXT NOT NULL DEFAULT '{}',            -- everything else that is shown of it
  times_json    TEXT NOT NULL DEFAULT '{}',            -- what the original says of its time, as it is written there
  plays         TEXT CHECK (plays IN ('everywhere', 'some', 'nowhere')),  -- in browsers, the film or the one in the picture
  codecs        TEXT,                                  -- of that film, as RFC 6381 writes them
  transfer      TEXT CHECK (transfer IN ('pq', 'hlg')), -- of that film; NULL: as screens have always had it
  copies        INTEGER NOT NULL DEFAULT 0,            -- 1: the pictures of that film play everywhere as they are, in another container
  motion_at     INTEGER,                               -- where the film in a Motion Photo begins, and how long it is
  motion_bytes  INTEGER
) STRICT;
CREATE INDEX asset_facts_place ON asset_facts (account_uuid, asset_id) WHERE latitude_e7 IS NOT NULL;
CREATE INDEX asset_facts_payload ON asset_facts (account_uuid, payload_hash) WHERE payload_hash IS NOT NULL;
-- What looks alike differs in at most 6 of the 64 bits, so in at most one bit of one of these quarters (2 × 4 > 6): finding it
-- is 17 places in each of four indexes, and not a walk.
CREATE INDEX asset_facts_look_1 ON asset_facts (substr(dhash, 1, 2), dhash) WHERE dhash IS NOT NULL;
CREATE INDEX asset_facts_look_2 ON asset_facts (substr(dhash, 3, 2), dhash) WHERE dhash IS NOT NULL;
CREATE INDEX asset_facts_look_3 ON asset_facts (substr(dhash, 5, 2), dhash) WHERE dhash IS NOT NULL;
CREATE INDEX asset_facts_look_4 ON asset_facts (substr(dhash, 7, 2), dhash) WHERE dhash IS NOT NULL;

-- Photos that look alike, noted when the later one was looked at. A cache of what dhash says.
CREATE TABLE alike (
  account_uuid TEXT NOT NULL,
  asset_id     TEXT NOT NULL REFERENCES assets (asset_id) ON DELETE CASCADE,  -- the smaller id
  other_id     TEXT NOT NULL REFERENCES assets (asset_id) ON DELETE CASCADE,
  PRIMARY KEY (account_uuid, asset_id, other_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX alike_asset ON alike (asset_id);
CREATE INDEX alike_other ON alike (other_id, asset_id);

-- What a person said: these two are different, whatever they look like.
CREATE TABLE told_apart (
  asset_id TEXT NOT NULL REFERENCES assets (asset_id) ON DELETE CASCADE,      -- the smaller id
  other_id TEXT NOT NULL REFERENCES assets (asset_id) ON DELETE CASCADE,
  PRIMARY KEY (asset_id, other_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX told_apart_other ON told_apart (other_id);

-- Films in a version that every browser plays. A row is a wish, and then what became of it.
CREATE TABLE playables (
  asset_id     TEXT PRIMARY KEY REFERENCES assets (asset_id) ON DELETE CASCADE,
  account_uuid TEXT NOT NULL,
  state        TEXT NOT NULL CHECK (state IN ('waiting', 'making', 'ready', 'failed')),
  error        TEXT,                                   -- class of the failure
  asked_at_ms  INTEGER NOT NULL,                       -- when somebody last wanted to see it; 0: it is made ahead
  size_bytes   INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX playables_waiting ON playables (asked_at_ms) WHERE state = 'waiting';
CREATE INDEX playables_ready ON playables (asked_at_ms, size_bytes) WHERE state = 'ready';

-- Words by which an asset is found, folded; read by ranges of prefixes.
CREATE TABLE search_words (
  account_uuid TEXT NOT NULL,
  word         TEXT NOT NULL,
  asset_id     TEXT NOT NULL REFERENCES assets (asset_id) ON DELETE CASCADE,
  PRIMARY KEY (account_uuid, word, asset_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX search_words_asset ON search_words (asset_id);

CREATE TABLE albums (
  album_id       TEXT PRIMARY KEY,
  account_uuid   TEXT NOT NULL REFERENCES accounts (account_uuid),
  kind           TEXT NOT NULL CHECK (kind IN ('manual', 'selection', 'inbox')),
  name           TEXT NOT NULL,
  description    TEXT NOT NULL DEFAULT '',
  cover_asset_id TEXT,                                 -- NULL, or not held any more: the first item
  sort           TEXT NOT NULL DEFAULT 'position' CHECK (sort IN ('position', 'oldest', 'newest')),
  created_at_ms  INTEGER NOT NULL,
  updated_at_ms  INTEGER NOT NULL
) STRICT;
CREATE INDEX albums_account ON albums (account_uuid, updated_at_ms);

CREATE TABLE album_items (
  album_id         TEXT NOT NULL REFERENCES albums (album_id) ON DELETE CASCADE,
  asset_id         TEXT NOT NULL REFERENCES assets (asset_id) ON DELETE CASCADE,
  position         INTEGER NOT NULL,                   -- with gaps; equal ones in the order of ids
  caption_override TEXT,
  added_by         TEXT NOT NULL,                      -- account UUID
  added_at_ms      INTEGER NOT NULL,
  PRIMARY KEY (album_id, asset_id)
) STRICT;
CREATE INDEX album_items_order ON album_items (album_id, position, asset_id);
CREATE INDEX album_items_asset ON album_items (asset_id);

ALTER TABLE accounts ADD COLUMN display_name TEXT NOT NULL DEFAULT '';
ALTER TABLE accounts ADD COLUMN quota_bytes INTEGER;   -- of held originals; NULL: as much as there is room for

-- Links that work once. Only the hash of what is in the link is kept.
CREATE TABLE one_time_tokens (
  token_hash    BLOB PRIMARY KEY,
  purpose       TEXT NOT NULL CHECK (purpose IN ('sign_in', 'password')),
  account_uuid  TEXT NOT NULL REFERENCES accounts (account_uuid),
  created_at_ms INTEGER NOT NULL,
  expires_at_ms INTEGER NOT NULL,
  used_at_ms    INTEGER
) STRICT;
CREATE INDEX one_time_tokens_expiry ON one_time_tokens (expires_at_ms);

-- By which way of folding the words of all assets were made: where there is none yet, by today's.
INSERT INTO facts (name, value) SELECT 'search_words', '1' WHERE NOT EXISTS (SELECT 1 FROM assets);

-- When a backup on another disk was last restored on trial and these bytes were found right there: a statement about the past.
-- NULL: never, or the last trial that looked found them missing or wrong.
ALTER TABLE assets ADD COLUMN copied_at_ms INTEGER;

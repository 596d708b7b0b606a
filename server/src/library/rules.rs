//! Pure decisions of the library: whose claim counts, and where a feed of changes goes on.

use photosync_protocol::v2::claims::Claims;

/// What devices say about one photo, put together: the first device to say a thing wins, and nothing is invented.
pub fn merge_claims(claims: impl IntoIterator<Item = Claims>) -> Claims {
    let mut merged = Claims::default();
    for said in claims {
        merged.captured = merged.captured.or(said.captured);
        merged.device_asset_id = merged.device_asset_id.or(said.device_asset_id);
        merged.folder = merged.folder.or(said.folder);
        merged.favourite = merged.favourite.or(said.favourite);
        if merged.albums.is_empty() {
            merged.albums = said.albums;
        }
        merged.pair = merged.pair.or(said.pair);
        merged.modified_ms = merged.modified_ms.or(said.modified_ms);
    }
    merged
}

/// Where a feed of changes goes on: after the asset `asset_id` that changed in `version`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// Version of the last change that was told.
    pub version: i64,
    /// Its asset.
    pub asset_id: String,
    /// The version at which the client began with nothing. Up to there only held assets are told: it need not learn
    /// that something is gone which it never had. What changes while it pages has a higher version.
    pub began_at: i64,
}

impl Cursor {
    /// For a client that has nothing, at this version of the library.
    pub fn fresh(version: i64) -> Self {
        Self { version: 0, asset_id: String::new(), began_at: version }
    }

    /// As a client keeps it.
    pub fn to_text(&self) -> String {
        format!("{}.{}.{}", self.version, self.began_at, self.asset_id)
    }

    /// Reads what [`Cursor::to_text`] wrote; `None` for anything else.
    pub fn from_text(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '.');
        let version = parts.next()?.parse().ok()?;
        let began_at = parts.next()?.parse().ok()?;
        let asset_id = parts.next()?.to_owned();
        let fits = asset_id.len() <= 64 && asset_id.bytes().all(|b| b.is_ascii_alphanumeric());
        fits.then_some(Self { version, asset_id, began_at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_device_to_say_a_thing_wins_and_others_add_what_it_left_out() {
        let phone =
            Claims { favourite: Some(false), folder: Some("DCIM".into()), ..Claims::default() };
        let laptop = Claims {
            favourite: Some(true),
            albums: vec!["Summer".into()],
            modified_ms: Some(5),
            ..Claims::default()
        };
        let merged = merge_claims([phone.clone(), laptop.clone()]);
        assert_eq!(merged.favourite, Some(false));
        assert_eq!(merged.folder.as_deref(), Some("DCIM"));
        assert_eq!(merged.albums, ["Summer"]);
        assert_eq!(merged.modified_ms, Some(5));
        assert_eq!(merge_claims([laptop, phone]).favourite, Some(true));
        assert_eq!(merge_claims([]), Claims::default());
    }

    #[test]
    fn a_cursor_reads_back_and_nonsense_is_none() {
        let cursor = Cursor { version: 7, asset_id: "ab12".into(), began_at: 3 };
        assert_eq!(Cursor::from_text(&cursor.to_text()), Some(cursor));
        let fresh = Cursor::fresh(9);
        assert_eq!(Cursor::from_text(&fresh.to_text()), Some(fresh));
        for text in ["", "1", "1.2", "a.b.c", "1.2.'", "1.2.x.y"] {
            assert_eq!(Cursor::from_text(text), None, "{text}");
        }
    }
}

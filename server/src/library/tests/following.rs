//! Somebody who follows a timeline by what changed since, against what is held: whatever happened, both are the same.

use std::collections::BTreeMap;

use photosync_protocol::v2::library::Timeline;

use super::Stand;
use crate::library::{tiles, timeline};

/// What such a client knows.
#[derive(Debug, Default)]
pub(super) struct Follower {
    version: Option<i64>,
    days: BTreeMap<String, i64>,
}

impl Follower {
    /// Asks what changed, and compares it with everything and with the pictures themselves.
    pub(super) async fn follow(&mut self, stand: &Stand, held: usize) {
        let told = get(stand, self.version).await;
        self.version = Some(told.version);
        for day in told.days {
            self.days.insert(day.day, day.count);
        }
        self.days.retain(|_, count| *count > 0);
        let all = get(stand, None).await;
        let listed: BTreeMap<String, i64> =
            all.days.into_iter().map(|day| (day.day, day.count)).collect();
        assert_eq!(self.days, listed);
        assert_eq!((told.total, all.total), (held as i64, held as i64));
        let page = tiles::list_from(&stand.app, stand.account(), None, 500).await.unwrap();
        let mut seen: BTreeMap<String, i64> = BTreeMap::new();
        for tile in page.tiles {
            *seen.entry(tile.taken[..10].to_owned()).or_default() += 1;
        }
        assert_eq!(seen, listed, "the days are those of the tiles");
    }
}

async fn get(stand: &Stand, since: Option<i64>) -> Timeline {
    match timeline::get(&stand.app, stand.account(), since, None).await.unwrap() {
        timeline::Told::Changed(told) => told,
        timeline::Told::Unchanged(_) => panic!("nothing was said to be known"),
    }
}

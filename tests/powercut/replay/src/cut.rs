//! What a power cut may leave of a [`State`]: the decisions, without any disk.
//!
//! Every decision is a hash of the seed and of what is decided, so that the same cut gives the same
//! folder again. The rule: a cut never undoes what a completed flush covers.

use crate::content::Content;
use crate::model::{
    DirectoryOp, Entries, FileBody, FileChange, FileOp, NodeId, State, apply_changes,
};

/// Bytes a disk writes whole or not at all.
const SECTOR_BYTES: u64 = 512;

/// Bytes the page cache writes back together.
const PAGE_BYTES: u64 = 4096;

/// Which of the operations that no completed flush covers are found on the disk afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// None of them: only flushed bytes and flushed names are left.
    Strict,
    /// Some of them, as this seed has it. Bytes: each 4 KiB page of an unflushed write is there or
    /// not, some pages are torn at 512 bytes, a sector holds what it held at *some* moment since
    /// its last flush, and bytes outside a written range are never touched. The changes of one
    /// file's size, and the changes of one directory's names, survive as an ordered prefix.
    Random(u64),
    /// All of them: the folder as the process saw it. No cut; shows that the recorder saw all.
    KeepEverything,
}

/// Two numbers stirred into one (the finaliser of SplitMix64): neighbouring inputs give unrelated
/// outputs.
pub fn mix(a: u64, b: u64) -> u64 {
    let mut z = a ^ b.wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_mul(0xd6e8_feb8_6659_fd93);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A third of the time none of `count`, a third all of them, else any number of them.
fn choose_prefix(dice: u64, count: u64) -> u64 {
    match dice % 3 {
        0 => 0,
        1 => count,
        _ => mix(dice, 0) % (count + 1),
    }
}

impl Cut {
    /// The names a directory has after the cut.
    pub(crate) fn entries(self, state: &State, dir: NodeId) -> Entries {
        let Some(directory) = state.directory(dir) else { return Entries::new() };
        let mut entries = directory.durable.clone();
        let survivors = self.name_limit(state, dir);
        let mut others: Vec<(NodeId, u64)> = Vec::new();
        for op in &directory.pending {
            let is_there = match op.needs {
                Some(other) => self.is_partner_there(state, other, op.seq, &mut others),
                None => true,
            };
            if (op.synced || op.seq < survivors) && is_there {
                apply_changes(&mut entries, &op.changes);
            }
        }
        entries
    }

    /// Whether the other half of a rename across directories survives. `limits` remembers the
    /// limits of directories already asked for.
    fn is_partner_there(
        self,
        state: &State,
        other: NodeId,
        seq: u64,
        limits: &mut Vec<(NodeId, u64)>,
    ) -> bool {
        let known = limits.iter().find(|(dir, _)| *dir == other).map(|(_, limit)| *limit);
        let limit = known.unwrap_or_else(|| {
            let limit = self.name_limit(state, other);
            limits.push((other, limit));
            limit
        });
        seq < limit || state.is_synced(other, seq)
    }

    /// Unflushed changes of a directory's names survive when their number is below this.
    fn name_limit(self, state: &State, dir: NodeId) -> u64 {
        let seed = match self {
            Self::Strict => return 0,
            Self::KeepEverything => return u64::MAX,
            Self::Random(seed) => seed,
        };
        let pending = state.directory(dir).map_or(&[][..], |directory| &directory.pending);
        let unsynced: Vec<&DirectoryOp> = pending.iter().filter(|op| !op.synced).collect();
        let dice = mix(mix(seed, 0xd1), dir as u64);
        let kept = choose_prefix(dice, unsynced.len() as u64) as usize;
        unsynced.get(kept).map_or(u64::MAX, |op| op.seq)
    }

    /// The content a file has after the cut.
    pub(crate) fn content(self, id: NodeId, file: &FileBody) -> Content {
        let mut content = file.durable.clone();
        if file.pending.is_empty() {
            return content;
        }
        match self {
            Self::Strict => {}
            Self::KeepEverything => {
                for op in &file.pending {
                    match op.change {
                        FileChange::Put { offset, len, source } => {
                            content.put(offset, len, source);
                            content.grow(offset + len);
                        }
                        FileChange::Resize { size } => content.resize(size),
                    }
                }
            }
            Self::Random(seed) => {
                let dice = FileDice::new(mix(mix(seed, 0xf1), id as u64), &file.pending);
                dice.replay(&mut content, &file.pending);
            }
        }
        content
    }
}

/// The fate of one file's unflushed operations.
struct FileDice {
    seed: u64,
    /// Numbers of the oldest and newest unflushed operation.
    span: (u64, u64),
    /// Changes of size survive below this number.
    size_limit: u64,
    /// Of eight pages, so many survive whole.
    kept_of_eight: u64,
}

impl FileDice {
    fn new(seed: u64, pending: &[FileOp]) -> Self {
        let oldest = pending.first().map_or(0, |op| op.seq);
        let newest = pending.last().map_or(0, |op| op.seq);
        let kept = choose_prefix(mix(seed, 1), pending.len() as u64) as usize;
        let size_limit = pending.get(kept).map_or(u64::MAX, |op| op.seq);
        Self { seed, span: (oldest, newest), size_limit, kept_of_eight: 1 + mix(seed, 2) % 7 }
    }

    fn replay(&self, content: &mut Content, pending: &[FileOp]) {
        let mut size = content.size();
        for op in pending {
            let size_survives = op.seq < self.size_limit;
            match op.change {
                FileChange::Put { offset, len, source } => {
                    for (start, end) in self.surviving_runs(op.seq, offset, offset + len) {
                        content.put(start, end - start, source.skip(start - offset));
                    }
                    if size_survives {
                        size = size.max(offset + len);
                    }
                }
                FileChange::Resize { size: new } if size_survives => {
                    content.resize(new);
                    size = new;
                }
                FileChange::Resize { .. } => {}
            }
        }
        content.resize(size);
    }

    /// The parts of `[start, end)` that survive of operation `seq`, neighbours joined.
    fn surviving_runs(&self, seq: u64, start: u64, end: u64) -> Vec<(u64, u64)> {
        let mut runs: Vec<(u64, u64)> = Vec::new();
        let mut at = start;
        while at < end {
            let sector = at / SECTOR_BYTES;
            let next = ((sector + 1) * SECTOR_BYTES).min(end);
            if seq < self.sector_limit(sector) {
                match runs.last_mut() {
                    Some(run) if run.1 == at => run.1 = next,
                    _ => runs.push((at, next)),
                }
            }
            at = next;
        }
        runs
    }

    /// Operations on a sector survive below this number: a sector holds what it held at one moment.
    fn sector_limit(&self, sector: u64) -> u64 {
        let page = mix(mix(self.seed, 3), sector * SECTOR_BYTES / PAGE_BYTES);
        let is_torn = (page >> 8).is_multiple_of(4);
        let dice = if is_torn { mix(mix(self.seed, 4), sector) } else { page };
        let is_of_a_moment_between = (dice >> 16).is_multiple_of(4);
        if is_of_a_moment_between {
            let (oldest, newest) = self.span;
            return oldest + mix(dice, 5) % (newest - oldest + 2);
        }
        if dice % 8 < self.kept_of_eight { u64::MAX } else { 0 }
    }
}

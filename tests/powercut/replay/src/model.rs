//! The file system as the recorded process saw it, beside what of it is durable: inodes and
//! directory entries are kept apart, because they are flushed apart.
//!
//! `Recording` feeds it one record after the other; `cut` reads it. The rule: an operation stays
//! *pending* until a flush of its own inode or directory, begun after it, has ended well.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::content::{Content, Source};
use crate::record::{Kind, Record};

/// Number of a file, directory or link in the model; never reused, unlike an inode number.
pub type NodeId = usize;

/// The names of one directory.
pub type Entries = BTreeMap<Vec<u8>, NodeId>;

/// A file, directory or symbolic link.
#[derive(Debug, Clone)]
pub struct Node {
    /// Permission bits.
    pub mode: u32,
    /// What it is and holds.
    pub body: Body,
}

/// What a node holds.
#[derive(Debug, Clone)]
pub enum Body {
    /// A regular file.
    File(FileBody),
    /// A directory.
    Directory(DirectoryBody),
    /// A symbolic link whose target stands in the log.
    Symlink {
        /// Position of the target in the log.
        from: u64,
        /// Its length in bytes.
        len: u64,
    },
}

/// A regular file: what is durable, and what happened since.
#[derive(Debug, Clone, Default)]
pub struct FileBody {
    /// Content covered by a completed flush.
    pub durable: Content,
    /// What happened since, oldest first.
    pub pending: Vec<FileOp>,
}

/// One change of a file.
#[derive(Debug, Clone, Copy)]
pub struct FileOp {
    /// Number of the record, counted over the whole log.
    pub seq: u64,
    /// What changed.
    pub change: FileChange,
}

/// What one operation changes in a file.
#[derive(Debug, Clone, Copy)]
pub enum FileChange {
    /// Bytes were put at an offset; the file grows when they reach beyond its end.
    Put {
        /// First byte.
        offset: u64,
        /// Number of bytes.
        len: u64,
        /// Where the bytes are.
        source: Source,
    },
    /// The size was set.
    Resize {
        /// New size in bytes.
        size: u64,
    },
}

/// A directory: durable entries, entries as the process sees them, and what lies between.
#[derive(Debug, Clone, Default)]
pub struct DirectoryBody {
    /// Entries covered by a completed flush, as far as they could be folded.
    pub durable: Entries,
    /// Entries as the process sees them.
    pub current: Entries,
    /// What leads from one to the other, oldest first.
    pub pending: Vec<DirectoryOp>,
}

/// One change of a directory's names; its changes happen together or not at all.
#[derive(Debug, Clone)]
pub struct DirectoryOp {
    /// Number of the record, counted over the whole log.
    pub seq: u64,
    /// Covered by a completed flush of this directory.
    pub synced: bool,
    /// Name → what it names afterwards, or nothing.
    pub changes: Vec<(Vec<u8>, Option<NodeId>)>,
    /// The old name of a rename into this other directory goes only when the new name is there:
    /// file systems that promise nothing else still rename without losing the file.
    pub needs: Option<NodeId>,
}

impl FileBody {
    /// Makes what happened before `seq` durable.
    fn settle(&mut self, seq: u64) {
        let count = self.pending.partition_point(|op| op.seq < seq);
        for op in self.pending.drain(..count) {
            match op.change {
                FileChange::Put { offset, len, source } => {
                    self.durable.put(offset, len, source);
                    self.durable.grow(offset + len);
                }
                FileChange::Resize { size } => self.durable.resize(size),
            }
        }
    }
}

/// A flush that has begun: what it will make durable when it ends.
#[derive(Debug, Clone)]
struct Flush {
    nodes: Vec<NodeId>,
    seq: u64,
}

/// The model at one position of the log. A copy shares all nodes until one of the two changes them.
#[derive(Debug, Clone, Default)]
pub struct State {
    nodes: Vec<Arc<Node>>,
    by_ino: HashMap<u64, NodeId>,
    flushes: HashMap<u64, Flush>,
}

/// Why a record cannot have happened, in words.
pub type Impossible = String;

/// The root folder is the first node; its own name is always durable.
pub const ROOT: NodeId = 0;

impl State {
    /// A node by its number.
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id).map(Arc::as_ref)
    }

    /// The directory with this number, if it is one.
    pub fn directory(&self, id: NodeId) -> Option<&DirectoryBody> {
        match &self.node(id)?.body {
            Body::Directory(directory) => Some(directory),
            Body::File(_) | Body::Symlink { .. } => None,
        }
    }

    /// The path below the root by which the process now sees the object with this inode number.
    pub fn find_path(&self, ino: u64) -> Option<String> {
        let mut path = String::new();
        let mut node = *self.by_ino.get(&ino)?;
        while node != ROOT {
            let (parent, name) = self.find_name(node)?;
            path = format!("/{}{path}", String::from_utf8_lossy(name));
            node = parent;
        }
        Some(if path.is_empty() { "/".to_owned() } else { path })
    }

    fn find_name(&self, node: NodeId) -> Option<(NodeId, &[u8])> {
        (0..self.nodes.len()).find_map(|id| {
            let entries = &self.directory(id)?.current;
            let (name, _) = entries.iter().find(|(_, named)| **named == node)?;
            Some((id, name.as_slice()))
        })
    }

    /// Plays one record whose data are `data_len` bytes at `data_at` in the log.
    pub fn apply(
        &mut self,
        seq: u64,
        record: &Record,
        data_at: u64,
        data_len: u64,
    ) -> Result<(), Impossible> {
        match record {
            Record::Root { ino } => {
                self.add(*ino, 0o700, Body::Directory(DirectoryBody::default()));
            }
            Record::Started => self.settle_all(seq),
            Record::Create { ino, dir, name, kind, mode } => {
                let body = match kind {
                    Kind::File => Body::File(FileBody::default()),
                    Kind::Directory => Body::Directory(DirectoryBody::default()),
                    Kind::Symlink => Body::Symlink { from: data_at, len: data_len },
                };
                let node = self.add(*ino, *mode, body);
                let dir = self.find(*dir)?;
                self.change_names(dir, seq, vec![(name.clone(), Some(node))], None)?;
            }
            Record::CreateUnnamed { ino, mode } => {
                self.add(*ino, *mode, Body::File(FileBody::default()));
            }
            Record::Write { ino, offset } => {
                let source = Source::Log(data_at);
                let change = FileChange::Put { offset: *offset, len: data_len, source };
                self.change_file(*ino, FileOp { seq, change })?;
            }
            Record::Zero { ino, offset, len } => {
                let change = FileChange::Put { offset: *offset, len: *len, source: Source::Zero };
                self.change_file(*ino, FileOp { seq, change })?;
            }
            Record::Resize { ino, size } => {
                let change = FileChange::Resize { size: *size };
                self.change_file(*ino, FileOp { seq, change })?;
            }
            Record::Rename { from_dir, from, to_dir, to } => {
                self.rename(seq, (*from_dir, from), (*to_dir, to))?;
            }
            Record::Exchange { from_dir, from, to_dir, to } => {
                self.exchange(seq, (*from_dir, from), (*to_dir, to))?;
            }
            Record::Link { ino, dir, name } => {
                let (node, dir) = (self.find(*ino)?, self.find(*dir)?);
                self.change_names(dir, seq, vec![(name.clone(), Some(node))], None)?;
            }
            Record::Unlink { dir, name } => {
                let dir = self.find(*dir)?;
                self.named(dir, name)?;
                self.change_names(dir, seq, vec![(name.clone(), None)], None)?;
            }
            Record::Mode { ino, mode } => {
                let node = self.find(*ino)?;
                self.node_mut(node)?.mode = *mode;
            }
            Record::SyncStart { sync, ino } => {
                let nodes = match ino {
                    0 => (0..self.nodes.len()).collect(),
                    _ => vec![self.find(*ino)?],
                };
                self.flushes.insert(*sync, Flush { nodes, seq });
            }
            Record::SyncEnd { sync } => {
                let begun = self.flushes.remove(sync);
                let flush = begun.ok_or_else(|| format!("flush {sync} ends before it begins"))?;
                for node in flush.nodes {
                    self.settle(node, flush.seq)?;
                }
            }
            Record::Answer => {}
        }
        Ok(())
    }

    fn add(&mut self, ino: u64, mode: u32, body: Body) -> NodeId {
        let id = self.nodes.len();
        self.nodes.push(Arc::new(Node { mode, body }));
        self.by_ino.insert(ino, id);
        id
    }

    fn find(&self, ino: u64) -> Result<NodeId, Impossible> {
        self.by_ino.get(&ino).copied().ok_or_else(|| format!("inode {ino} was never seen before"))
    }

    fn node_mut(&mut self, id: NodeId) -> Result<&mut Node, Impossible> {
        let node = self.nodes.get_mut(id).ok_or_else(|| format!("no node {id}"))?;
        Ok(Arc::make_mut(node))
    }

    fn directory_mut(&mut self, id: NodeId) -> Result<&mut DirectoryBody, Impossible> {
        match &mut self.node_mut(id)?.body {
            Body::Directory(directory) => Ok(directory),
            Body::File(_) | Body::Symlink { .. } => Err(format!("node {id} is no directory")),
        }
    }

    fn change_file(&mut self, ino: u64, op: FileOp) -> Result<(), Impossible> {
        let id = self.find(ino)?;
        match &mut self.node_mut(id)?.body {
            Body::File(file) => {
                file.pending.push(op);
                Ok(())
            }
            Body::Directory(_) | Body::Symlink { .. } => Err(format!("inode {ino} is no file")),
        }
    }

    fn change_names(
        &mut self,
        dir: NodeId,
        seq: u64,
        changes: Vec<(Vec<u8>, Option<NodeId>)>,
        needs: Option<NodeId>,
    ) -> Result<(), Impossible> {
        let directory = self.directory_mut(dir)?;
        apply_changes(&mut directory.current, &changes);
        directory.pending.push(DirectoryOp { seq, synced: false, changes, needs });
        Ok(())
    }

    fn named(&self, dir: NodeId, name: &[u8]) -> Result<NodeId, Impossible> {
        let entries = self.directory(dir).map(|directory| &directory.current);
        entries.and_then(|entries| entries.get(name)).copied().ok_or_else(|| {
            format!("there is no {:?} in directory {dir}", String::from_utf8_lossy(name))
        })
    }

    fn rename(
        &mut self,
        seq: u64,
        (from_dir, from): (u64, &[u8]),
        (to_dir, to): (u64, &[u8]),
    ) -> Result<(), Impossible> {
        let (from_dir, to_dir) = (self.find(from_dir)?, self.find(to_dir)?);
        let node = self.named(from_dir, from)?;
        if self.named(to_dir, to) == Ok(node) {
            // Two names of one file: POSIX does nothing and reports success.
            return Ok(());
        }
        let (gone, come) = ((from.to_vec(), None), (to.to_vec(), Some(node)));
        if from_dir == to_dir {
            return self.change_names(from_dir, seq, vec![gone, come], None);
        }
        self.change_names(to_dir, seq, vec![come], None)?;
        self.change_names(from_dir, seq, vec![gone], Some(to_dir))
    }

    fn exchange(
        &mut self,
        seq: u64,
        (from_dir, from): (u64, &[u8]),
        (to_dir, to): (u64, &[u8]),
    ) -> Result<(), Impossible> {
        let (from_dir, to_dir) = (self.find(from_dir)?, self.find(to_dir)?);
        let (first, second) = (self.named(from_dir, from)?, self.named(to_dir, to)?);
        let (here, there) = ((from.to_vec(), Some(second)), (to.to_vec(), Some(first)));
        if from_dir == to_dir {
            return self.change_names(from_dir, seq, vec![here, there], None);
        }
        self.change_names(from_dir, seq, vec![here], Some(to_dir))?;
        self.change_names(to_dir, seq, vec![there], Some(from_dir))
    }

    fn settle_all(&mut self, seq: u64) {
        for id in 0..self.nodes.len() {
            // Every number below the length names a node, so nothing can be refused here.
            let _ = self.settle(id, seq);
        }
    }

    /// Makes what happened to one node before `seq` durable.
    fn settle(&mut self, id: NodeId, seq: u64) -> Result<(), Impossible> {
        match &mut self.node_mut(id)?.body {
            Body::File(file) => file.settle(seq),
            Body::Symlink { .. } => {}
            Body::Directory(directory) => {
                for op in directory.pending.iter_mut().filter(|op| op.seq < seq) {
                    op.synced = true;
                }
                self.fold(id)?;
            }
        }
        Ok(())
    }

    /// Moves the leading durable changes of a directory into its durable entries.
    fn fold(&mut self, id: NodeId) -> Result<(), Impossible> {
        let Some(directory) = self.directory(id) else { return Ok(()) };
        let is_settled = |op: &DirectoryOp| {
            op.synced && op.needs.is_none_or(|other| self.is_synced(other, op.seq))
        };
        let count = directory.pending.iter().take_while(|op| is_settled(op)).count();
        let directory = self.directory_mut(id)?;
        for op in directory.pending.drain(..count) {
            apply_changes(&mut directory.durable, &op.changes);
        }
        Ok(())
    }

    /// Whether the operation `seq` of a directory is covered by a flush (and perhaps folded away).
    pub fn is_synced(&self, dir: NodeId, seq: u64) -> bool {
        let pending = self.directory(dir).map(|directory| directory.pending.as_slice());
        !pending.unwrap_or_default().iter().any(|op| op.seq == seq && !op.synced)
    }
}

/// Applies the changes of one operation to a set of entries.
pub fn apply_changes(entries: &mut Entries, changes: &[(Vec<u8>, Option<NodeId>)]) {
    for (name, node) in changes {
        match node {
            Some(node) => entries.insert(name.clone(), *node),
            None => entries.remove(name),
        };
    }
}

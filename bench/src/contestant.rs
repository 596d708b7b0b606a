//! What every measured server looks like to the bench: started in an empty folder, sent files, asked
//! how many it kept, stopped.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use crate::Failure;
use crate::load::Uploader;
use crate::photosync;
use crate::process::Running;

/// PhotoSync's name in every table.
pub const OURS: &str = "photosync";

/// A kind of server that may take part.
pub trait Contestant {
    /// The name in tables and of its folder.
    fn name(&self) -> &str;

    /// Whether an answered upload survives a power cut.
    fn is_durable(&self) -> bool;

    /// Starts one in this empty folder, ready for uploads.
    fn start(&self, home: &Path) -> Result<Server, Failure>;
}

/// A started server.
pub struct Server {
    /// The process, or the first of several.
    pub process: Running,
    /// Where it listens.
    pub address: SocketAddr,
    /// How files are handed to it.
    pub uploader: Box<dyn Uploader>,
    /// How to learn what it kept.
    pub shelf: Shelf,
}

/// Where a server's files can be counted.
#[derive(Debug)]
pub enum Shelf {
    /// In this folder, one file each.
    Folder(PathBuf),
    /// In this folder of `@tus/server`, each with a description beside it.
    TusStore(PathBuf),
    /// In the listing of this PhotoSync account.
    Listing(photosync::SignIn),
}

impl Server {
    /// Number of files it holds now.
    pub fn stored_count(&self) -> Result<u64, Failure> {
        match &self.shelf {
            Shelf::Folder(folder) => count_files(folder, |name| name.starts_with("IMG_")),
            Shelf::TusStore(folder) => count_files(folder, |name| !name.ends_with(".json")),
            Shelf::Listing(sign_in) => photosync::listed_total(self.address, sign_in),
        }
    }
}

fn count_files(folder: &Path, counts: impl Fn(&str) -> bool) -> Result<u64, Failure> {
    let unreadable = |error| format!("could not count files in {}: {error}", folder.display());
    let mut count = 0;
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        if counts(&entry.file_name().to_string_lossy()) {
            count += 1;
        }
    }
    Ok(count)
}

/// A port of loopback that was free a moment ago, for servers that cannot say which they took.
pub fn free_port() -> Result<u16, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0")
        .map_err(|error| format!("could not find a free port: {error}"))?;
    let address = listener.local_addr().map_err(|error| format!("no port: {error}"))?;
    Ok(address.port())
}

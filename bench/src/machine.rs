//! What every figure depends on, said at the top of a run.

use std::path::Path;

use crate::Failure;
use crate::options::MIB;

/// Says what the figures depend on: processor, cores, disk and who else is busy.
pub fn print(dir: &Path, quick: bool) -> Result<(), Failure> {
    let processors = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processors
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("?").to_owned();
    let (kind, free_bytes) = file_system(dir)?;
    println!(
        "{model}, {cores} cores shared by client and server; {kind}, {} GiB free; load before the run {load}",
        free_bytes / (1024 * MIB)
    );
    if kind == "tmpfs" {
        println!("tmpfs keeps nothing: every durable figure below is meaningless");
    }
    if quick {
        println!("quick run: too small to judge a goal by, good for a first look");
    }
    Ok(())
}

fn file_system(dir: &Path) -> Result<(String, u64), Failure> {
    let failed = |error| format!("could not ask for the file system of {}: {error}", dir.display());
    let space = rustix::fs::statvfs(dir).map_err(failed)?;
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let kind = mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            Some((fields.next()?, fields.next()?))
        })
        .filter(|(place, _)| dir.starts_with(place))
        .max_by_key(|(place, _)| place.len())
        .map_or("unknown file system", |(_, kind)| kind);
    Ok((kind.to_owned(), space.f_bavail * space.f_frsize))
}

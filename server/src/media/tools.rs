//! Programs outside of this one that decode what the worker does not: found once, at the start.

use std::path::{Path, PathBuf};

use super::facts::Tool;

/// Where programs lie on the systems this runs on. `PATH` is not asked: a service has one of its own.
const FOLDERS: &[&str] =
    &["/usr/bin", "/usr/local/bin", "/opt/homebrew/bin", "/run/current-system/sw/bin", "/snap/bin"];

/// Where the programs are.
#[derive(Debug, Clone, Default)]
pub struct Tools {
    ffmpeg: Option<PathBuf>,
    heif: Option<PathBuf>,
}

impl Tools {
    /// Looks for them. A setting names one; `off` means that it is not to be used.
    pub fn find(ffmpeg: &str, heif: &str) -> Self {
        Self {
            ffmpeg: find(ffmpeg, &["ffmpeg"]),
            // The newer name first; Debian 12 has the older one.
            heif: find(heif, &["heif-dec", "heif-convert"]),
        }
    }

    /// The program for this, if it is there.
    pub fn program(&self, tool: Tool) -> Option<&Path> {
        match tool {
            Tool::Ffmpeg => self.ffmpeg.as_deref(),
            Tool::Heif => self.heif.as_deref(),
        }
    }

    /// What is not there: what it is for, and the Debian package.
    pub fn missing(&self) -> Vec<(&'static str, &'static str)> {
        let videos = self.ffmpeg.is_none().then_some(("videos", "ffmpeg"));
        let heif = self.heif.is_none().then_some(("HEIC and AVIF pictures", "libheif-examples"));
        videos.into_iter().chain(heif).collect()
    }

    /// Whether any is there.
    pub fn has_any(&self) -> bool {
        self.ffmpeg.is_some() || self.heif.is_some()
    }
}

fn find(setting: &str, names: &[&str]) -> Option<PathBuf> {
    match setting {
        "off" => None,
        "" => {
            let places = FOLDERS
                .iter()
                .flat_map(|folder| names.iter().map(move |name| Path::new(folder).join(name)));
            places.into_iter().find(|path| path.is_file())
        }
        path => Some(PathBuf::from(path)).filter(|path| path.is_file()),
    }
}

//! A screen nobody sees (Xvfb), Debian's own panel on it, and the hands and eyes of a person: pointer, keyboard,
//! clipboard, screenshots.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::desk::{Desk, Panel, wait_for};

/// What a test needs, and the package of Debian that has it.
const PROGRAMS: [(&str, &str); 6] = [
    ("Xvfb", "xvfb"),
    ("xfce4-panel", "xfce4-panel"),
    ("xdotool", "xdotool"),
    ("xclip", "xclip"),
    ("import", "imagemagick"),
    ("chromium", "chromium"),
];
/// Colour of the icon of a server that runs (`assets/icon-well.svg`).
const WELL: [u8; 3] = [0x1c, 0x7e, 0xd6];
/// Who tells programs that their icons are shown.
const WATCHER: &str = "org.kde.StatusNotifierWatcher";
/// Longest time for the panel to begin to watch; a busy machine needs some of it.
const PANEL_WAIT: Duration = Duration::from_secs(10);
/// A panel whose predecessor was killed a moment ago sometimes comes without its part for icons: then another one.
const PANEL_STARTS: usize = 3;
/// Height of the panel in pixels.
const PANEL_HEIGHT: usize = 32;

/// Longest time for a browser to show a page and end.
const BROWSER_WAIT: Duration = Duration::from_secs(60);

/// A screen with a desk on it. Ends with everything on it.
pub struct Screen {
    pub desk: Desk,
    display: Child,
}

impl Screen {
    /// `None`, with the reason printed, where the programs are not there. In CI they have to be.
    pub fn open() -> Option<Self> {
        let missing: Vec<&str> = PROGRAMS
            .iter()
            .filter(|(name, _)| !is_there(name))
            .map(|(_, package)| *package)
            .collect();
        if !missing.is_empty() {
            let reason = format!("not installed: {}", missing.join(" "));
            assert!(std::env::var_os("CI").is_none(), "in CI a panel has to be there; {reason}");
            eprintln!("SKIPPED, nothing was tested on a real panel; {reason}");
            return None;
        }
        let mut display = Command::new("Xvfb")
            .args(["-displayfd", "1", "-screen", "0", "1024x768x24", "-nolisten", "tcp"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut number = String::new();
        BufReader::new(display.stdout.take().unwrap()).read_line(&mut number).unwrap();
        let name = format!(":{}", number.trim());
        let desk = Desk::with(&[
            ("DISPLAY", OsStr::new(&name)),
            ("NO_AT_BRIDGE", OsStr::new("1")),
            ("GDK_BACKEND", OsStr::new("x11")),
        ]);
        let settings = desk.home().join(".config/xfce4/xfconf/xfce-perchannel-xml");
        std::fs::create_dir_all(&settings).unwrap();
        std::fs::write(settings.join("xfce4-panel.xml"), include_str!("xfce4-panel.xml")).unwrap();
        Some(Self { desk, display })
    }

    /// Starts the panel; it ends when the result is dropped. It watches for icons then.
    pub fn panel(&self) -> RealPanel {
        // A second panel ends at once as long as the bus still knows the one that was killed.
        for name in ["org.xfce.Panel", WATCHER] {
            wait_for("the end of another panel", || (!self.desk.is_on_bus(name)).then_some(()));
        }
        for _ in 0..PANEL_STARTS {
            let mut panel = self.start_panel();
            let until = Instant::now() + PANEL_WAIT;
            while Instant::now() < until {
                if self.desk.is_on_bus(WATCHER) {
                    return panel;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            let ended = panel.child.try_wait().unwrap();
            eprintln!("xfce4-panel watches for no icons after {PANEL_WAIT:?}; ended: {ended:?}");
        }
        panic!("xfce4-panel did not come");
    }

    fn start_panel(&self) -> RealPanel {
        let child = self
            .desk
            .command("xfce4-panel")
            .arg("--disable-wm-check")
            .stderr(File::create(self.panel_words()).unwrap())
            .spawn()
            .unwrap();
        RealPanel { child, panel: self.desk.foreign_panel() }
    }

    fn panel_words(&self) -> PathBuf {
        self.desk.dir.path().join("xfce4-panel.log")
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let output = self.desk.command(program).args(arguments).output().unwrap();
        assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
        output
    }

    /// Presses keys, one after the other, by their X names.
    pub fn press(&self, keys: &[&str]) {
        let mut arguments = vec!["key", "--clearmodifiers", "--delay", "60"];
        arguments.extend(keys);
        self.run("xdotool", &arguments);
    }

    /// Clicks on the icon: 1 is the left button, 3 the right one.
    pub fn click_icon(&self, button: u8) {
        let (x, y) = wait_for("the icon on the screen", || self.look().icon());
        let (x, y, button) = (x.to_string(), y.to_string(), button.to_string());
        self.run("xdotool", &["mousemove", &x, &y, "click", &button]);
    }

    /// The same when the icon has another colour than usual: where the last thing of the panel is.
    pub fn click_icon_wherever(&self, button: u8) {
        let button = button.to_string();
        self.run("xdotool", &["mousemove", "1010", "16", "click", &button]);
    }

    /// Copies a text as another program.
    pub fn copy(&self, text: &str) {
        let mut copying = self
            .desk
            .command("xclip")
            .args(["-selection", "clipboard", "-i"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        copying.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        // It goes on in the background until somebody else copies.
        assert!(copying.wait().unwrap().success());
    }

    /// What a person would paste.
    pub fn clipboard(&self) -> Option<String> {
        let output =
            self.desk.command("xclip").args(["-selection", "clipboard", "-o"]).output().unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    }

    /// What is on the screen now.
    pub fn look(&self) -> Picture {
        let png = self.run("import", &["-window", "root", "-depth", "8", "png24:-"]).stdout;
        let mut reader = png::Decoder::new(std::io::Cursor::new(&png)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let frame = reader.next_frame(&mut pixels).unwrap();
        assert_eq!(frame.color_type, png::ColorType::Rgb);
        let width = usize::try_from(frame.width).unwrap();
        Picture { pixels, width, png }
    }

    /// Opens an address as a browser without a window, and keeps a picture of the page.
    pub fn keep_page(&self, url: &str, name: &str) {
        let place = artifacts().join(name);
        let _ = std::fs::remove_file(&place);
        let mut screenshot = OsStr::new("--screenshot=").to_owned();
        screenshot.push(&place);
        let mut profile = OsStr::new("--user-data-dir=").to_owned();
        profile.push(self.desk.dir.path().join("browser"));
        // Without the bus: it would ask for a keyring to keep passwords in, and wait for one.
        let mut browser = self
            .desk
            .command("chromium")
            .env_remove("DBUS_SESSION_BUS_ADDRESS")
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args(["--password-store=basic", "--hide-scrollbars", "--window-size=1000,900"])
            .args([screenshot.as_os_str(), profile.as_os_str(), OsStr::new(url)])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let ended = Instant::now() + BROWSER_WAIT;
        while browser.try_wait().unwrap().is_none() {
            if Instant::now() > ended {
                let _ = browser.kill();
                let _ = browser.wait();
                panic!("the browser did not come to an end with {url}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(place.is_file(), "no picture of {url}");
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let words = std::fs::read_to_string(self.panel_words()).unwrap_or_default();
            eprintln!("What the last panel said:\n{words}");
            // Without a second panic where the screen has gone.
            let _ = self
                .desk
                .command("import")
                .args(["-window", "root"])
                .arg(artifacts().join("failed.png"))
                .status();
        }
        let _ = self.display.kill();
        let _ = self.display.wait();
    }
}

fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Where pictures are kept for people: `PHOTOSYNC_ARTIFACTS`, or `artifacts` below the target folder.
fn artifacts() -> PathBuf {
    let folder = std::env::var_os("PHOTOSYNC_ARTIFACTS").map_or_else(
        || {
            let exe = std::env::current_exe().unwrap();
            // target/debug/deps/this
            exe.ancestors().nth(3).map(|target| target.join("artifacts")).unwrap()
        },
        PathBuf::from,
    );
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Debian's panel; killed, not asked, when dropped.
pub struct RealPanel {
    child: Child,
    panel: Panel,
}

impl Deref for RealPanel {
    type Target = Panel;

    fn deref(&self) -> &Panel {
        &self.panel
    }
}

impl Drop for RealPanel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A picture of the screen.
pub struct Picture {
    pixels: Vec<u8>,
    width: usize,
    png: Vec<u8>,
}

impl Picture {
    /// The middle of the icon of a running server in the panel.
    pub fn icon(&self) -> Option<(usize, usize)> {
        let strip = &self.pixels[..PANEL_HEIGHT * self.width * 3];
        let blue = strip.chunks_exact(3).enumerate().filter(|(_, pixel)| {
            pixel.iter().zip(WELL).all(|(is, wanted)| is.abs_diff(wanted) < 24)
        });
        let places: Vec<(usize, usize)> =
            blue.map(|(index, _)| (index % self.width, index / self.width)).collect();
        // A few pixels may be anything.
        if places.len() < 20 {
            return None;
        }
        let middle = |of: fn(&(usize, usize)) -> usize| {
            let (least, most) = (places.iter().map(of).min()?, places.iter().map(of).max()?);
            Some(usize::midpoint(least, most))
        };
        Some((middle(|place| place.0)?, middle(|place| place.1)?))
    }

    /// Pixels below the panel that are not the black of the empty screen.
    pub fn covered(&self) -> usize {
        let below = &self.pixels[PANEL_HEIGHT * 2 * self.width * 3..];
        below.chunks_exact(3).filter(|pixel| pixel.iter().any(|part| *part > 16)).count()
    }

    /// Keeps it for people.
    pub fn keep(&self, name: &str) {
        std::fs::write(Path::new(&artifacts()).join(name), &self.png).unwrap();
    }
}

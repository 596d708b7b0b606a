//! `photosync-demo [--small] [--keep]`: backs a corpus up through both old clients, restores it, loses the
//! database, rebuilds it, and restores again. Every file is compared by SHA-256; any difference is named and
//! makes the exit code 1.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use photosync_tests::corpus::{self, Corpus, Scale, digest_of_file};
use photosync_tests::desktop::Desktop;
use photosync_tests::names::{is_rightly_listed, listed_for_desktop, listed_for_phone};
use photosync_tests::phone::Phone;
use photosync_tests::report::TransferReport;
use photosync_tests::server::{ServerProcess, run_command};

/// Three made-up people: one has a phone, one a computer, one both.
const PASSWORD: &str = "correct horse, battery";
const PHONE_EMAIL: &str = "phone@example.org";
const DESKTOP_EMAIL: &str = "desktop@example.org";
const BOTH_EMAIL: &str = "both@example.org";

type Fault = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let known = ["--small", "--keep"];
    if let Some(unknown) = arguments.iter().find(|word| !known.contains(&word.as_str())) {
        eprintln!("photosync-demo: {unknown:?} is not one of --small, --keep");
        return ExitCode::from(2);
    }
    let has = |word: &str| arguments.iter().any(|argument| argument == word);
    let scale = if has("--small") { Scale::Small } else { Scale::Full };
    match run(scale, has("--keep")) {
        Ok(differences) if differences.is_empty() => {
            println!("\nEvery file came back bit for bit, twice.");
            ExitCode::SUCCESS
        }
        Ok(differences) => {
            println!("\n{} differences:", differences.len());
            for difference in differences {
                println!("  {difference}");
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("\nphotosync-demo: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns every difference found; an error is a step that could not be taken at all.
fn run(scale: Scale, keeps_folder: bool) -> Result<Vec<String>, Fault> {
    let mut scratch = tempfile::Builder::new().prefix("photosync-demo-").tempdir()?;
    if keeps_folder {
        scratch.disable_cleanup(true);
        println!("Everything is kept in {}", scratch.path().display());
    }
    let step = Step::begin("Collecting photographs and videos");
    let corpus = corpus::make(&scratch.path().join("corpus"), scale, &corpus::default_cache())?;
    let megabytes = corpus.total_bytes() as f64 / 1e6;
    step.end(&format!("{} files, {megabytes:.0} MB", corpus.files.len()));
    let mut demo = Demo::new(scratch.path(), corpus)?;
    demo.back_up_and_restore()?;
    demo.lose_database_and_restore()?;
    Ok(demo.differences)
}

/// Which of the two clients an account's files came through; it decides under which names they are listed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sender {
    Phone,
    Desktop,
}

/// One account and what it must hold.
struct Account {
    email: &'static str,
    label: &'static str,
    sender: Sender,
    files: Vec<PathBuf>,
}

struct Demo {
    data_dir: PathBuf,
    scratch: PathBuf,
    digests: HashMap<PathBuf, String>,
    accounts: Vec<Account>,
    renamed_copies: Vec<PathBuf>,
    differences: Vec<String>,
}

impl Demo {
    fn new(scratch: &Path, corpus: Corpus) -> Result<Self, Fault> {
        let all = corpus.paths();
        let media = Desktop::scan(&corpus.root)?;
        let digests = all.iter().cloned().zip(corpus.files.into_iter().map(|file| file.sha256));
        let account = |email, label, sender, files: &[PathBuf]| Account {
            email,
            label,
            sender,
            files: files.to_vec(),
        };
        let data_dir = scratch.join("data");
        fs::create_dir(&data_dir)?;
        Ok(Demo {
            data_dir,
            scratch: scratch.to_owned(),
            digests: digests.collect(),
            renamed_copies: copy_renamed(&media, &scratch.join("renamed"))?,
            accounts: vec![
                account(PHONE_EMAIL, "phone", Sender::Phone, &all),
                account(DESKTOP_EMAIL, "desktop", Sender::Desktop, &media),
                account(BOTH_EMAIL, "phone + desktop", Sender::Phone, &all),
            ],
            differences: Vec::new(),
        })
    }

    fn back_up_and_restore(&mut self) -> Result<(), Fault> {
        let mut table = Table::default();
        let step = Step::begin("Starting the server");
        let server = ServerProcess::start(&self.data_dir, &[])?;
        step.end(&server.url());
        let address = server.address();
        for email in [PHONE_EMAIL, DESKTOP_EMAIL, BOTH_EMAIL] {
            Phone::new(address, email, PASSWORD).register(Some(100))?;
        }
        let phone = signed_in_phone(&server, PHONE_EMAIL)?;
        let step = Step::begin("Backing up the phone");
        let report = phone.back_up(&self.accounts[0].files)?;
        step.end_with(&report);
        self.require_all_stored(&report, &self.accounts[0].files.clone());
        table.add("phone", "backup", &report);

        let desktop = signed_in_desktop(&server, DESKTOP_EMAIL)?;
        let step = Step::begin("Backing up the computer");
        let report = desktop.back_up(&self.accounts[1].files)?;
        step.end_with(&report);
        self.require_all_stored(&report, &self.accounts[1].files.clone());
        table.add("desktop", "backup", &report);
        self.share_one_account(&server, &mut table)?;

        let step = Step::begin("Stopping and starting the server");
        let server = self.restart(server)?;
        step.end(&server.url());
        self.restore_everything(&server, "first", &mut table)?;
        self.require_clean_stop(server)?;
        table.print("Backed up, and restored from the restarted server");
        Ok(())
    }

    /// A phone fills an account; a computer with the same photographs under other names adds nothing to it.
    fn share_one_account(
        &mut self,
        server: &ServerProcess,
        table: &mut Table,
    ) -> Result<(), Fault> {
        let phone = signed_in_phone(server, BOTH_EMAIL)?;
        let desktop = signed_in_desktop(server, BOTH_EMAIL)?;
        let step = Step::begin("Sharing one account between both");
        let files = self.accounts[2].files.clone();
        let report = phone.back_up(&files)?;
        self.require_all_stored(&report, &files);
        table.add("both: phone", "backup", &report);
        let report = desktop.back_up(&self.renamed_copies)?;
        step.end_with(&report);
        self.note_failures(&report);
        if report.duplicates != self.renamed_copies.len() as u64 {
            self.differences.push(format!(
                "both: {} of {} renamed copies were recognised as duplicates",
                report.duplicates,
                self.renamed_copies.len()
            ));
        }
        table.add("both: desktop", "same, renamed", &report);
        Ok(())
    }

    fn lose_database_and_restore(&mut self) -> Result<(), Fault> {
        let step = Step::begin("Deleting the database");
        let removed = remove_database(&self.data_dir)?;
        step.end(&format!("{removed} files"));
        let step = Step::begin("Rebuilding it from the photographs");
        self.run_server_command(&["rebuild"], b"")?;
        let line = format!("{PASSWORD}\n");
        for email in [PHONE_EMAIL, DESKTOP_EMAIL, BOTH_EMAIL] {
            self.run_server_command(&["user", "passwd", email], line.as_bytes())?;
        }
        step.end("3 accounts unlocked");
        let server = ServerProcess::start(&self.data_dir, &[])?;
        let mut table = Table::default();
        self.restore_everything(&server, "second", &mut table)?;
        self.require_clean_stop(server)?;
        table.print("Restored after the database was lost and rebuilt");
        Ok(())
    }

    fn run_server_command(&self, words: &[&str], stdin: &[u8]) -> Result<(), Fault> {
        let data_dir = self.data_dir.to_string_lossy();
        let arguments: Vec<&str> = words.iter().copied().chain(["--data", &data_dir]).collect();
        let outcome = run_command(&arguments, stdin)?;
        match outcome.code {
            0 => Ok(()),
            code => Err(format!(
                "photosync-server {} ended with {code}:\n{}{}",
                words.join(" "),
                outcome.stdout,
                outcome.stderr
            )
            .into()),
        }
    }

    fn restart(&mut self, server: ServerProcess) -> Result<ServerProcess, Fault> {
        self.require_clean_stop(server)?;
        Ok(ServerProcess::start(&self.data_dir, &[])?)
    }

    fn require_clean_stop(&mut self, server: ServerProcess) -> Result<(), Fault> {
        match server.stop()? {
            0 => {}
            code => self.differences.push(format!("the server ended with {code}, not with 0")),
        }
        Ok(())
    }

    /// Restores all accounts into empty folders and compares every file.
    fn restore_everything(
        &mut self,
        server: &ServerProcess,
        round: &str,
        table: &mut Table,
    ) -> Result<(), Fault> {
        for index in 0..self.accounts.len() {
            let (email, label) = (self.accounts[index].email, self.accounts[index].label);
            let folder = self.scratch.join("restored").join(round).join(email);
            fs::create_dir_all(&folder)?;
            let phone = signed_in_phone(server, email)?;
            let step = Step::begin(&format!("Restoring {label}"));
            let report = phone.restore(&folder)?;
            step.end_with(&report);
            self.note_failures(&report);
            let found = compare(&self.accounts[index], &self.digests, &folder)?;
            self.differences.extend(found.iter().map(|what| format!("{label}, {round}: {what}")));
            table.add(label, "restore", &report);
        }
        Ok(())
    }

    fn require_all_stored(&mut self, report: &TransferReport, files: &[PathBuf]) {
        self.note_failures(report);
        let stored: HashSet<&PathBuf> = report
            .accepted
            .iter()
            .filter(|accepted| !accepted.duplicate)
            .map(|accepted| &accepted.path)
            .collect();
        let failed: HashSet<&str> =
            report.failed.iter().map(|failure| failure.name.as_str()).collect();
        for path in files {
            let is_failed = path.to_str().is_some_and(|name| failed.contains(name));
            if !stored.contains(path) && !is_failed {
                let what = "was answered as a duplicate, but is not one";
                self.differences.push(format!("{} {what}", path.display()));
            }
        }
    }

    fn note_failures(&mut self, report: &TransferReport) {
        let lines =
            report.failed.iter().map(|failure| format!("{}: {}", failure.name, failure.reason));
        self.differences.extend(lines);
    }
}

/// Matches restored files with originals by digest, each as often as it should be there, and checks names by rule.
fn compare(
    account: &Account,
    digests: &HashMap<PathBuf, String>,
    folder: &Path,
) -> Result<Vec<String>, Fault> {
    let mut wanted: BTreeMap<&str, Vec<&PathBuf>> = BTreeMap::new();
    for path in &account.files {
        wanted.entry(&digests[path]).or_default().push(path);
    }
    let mut differences = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let (digest, _) = digest_of_file(&path)?;
        let listed = file_name(&path);
        let Some(original) = wanted.get_mut(digest.as_str()).and_then(Vec::pop) else {
            differences.push(format!("{listed:?} came back, but no such bytes were backed up"));
            continue;
        };
        let name = file_name(original);
        let expected = match account.sender {
            Sender::Phone => listed_for_phone(&name),
            Sender::Desktop => listed_for_desktop(&name),
        };
        if !is_rightly_listed(&expected, &listed) {
            differences.push(format!("{name:?} came back as {listed:?}"));
        }
    }
    let missing = wanted.values().flatten();
    differences.extend(missing.map(|path| format!("{} did not come back", path.display())));
    Ok(differences)
}

/// The same files under other names, as someone has them who once copied the phone by cable.
fn copy_renamed(files: &[PathBuf], folder: &Path) -> Result<Vec<PathBuf>, Fault> {
    fs::create_dir_all(folder)?;
    let mut copies = Vec::with_capacity(files.len());
    for (index, file) in files.iter().enumerate() {
        let extension = file.extension().map(|text| text.to_string_lossy().into_owned());
        let extension = extension.unwrap_or_default();
        let copy = folder.join(format!("from phone {index:04}.{extension}"));
        fs::copy(file, &copy)?;
        copies.push(copy);
    }
    Ok(copies)
}

/// Removes `photosync.db` and its companions; returns how many files that were.
fn remove_database(data_dir: &Path) -> Result<usize, Fault> {
    let mut removed = 0;
    for entry in fs::read_dir(data_dir)? {
        let path = entry?.path();
        if file_name(&path).starts_with("photosync.db") && path.is_file() {
            fs::remove_file(&path)?;
            removed += 1;
        }
    }
    match removed {
        0 => Err(format!("no photosync.db in {}", data_dir.display()).into()),
        count => Ok(count),
    }
}

fn signed_in_phone(server: &ServerProcess, email: &str) -> Result<Phone, Fault> {
    let mut phone = Phone::new(server.address(), email, PASSWORD);
    phone.login()?;
    Ok(phone)
}

fn signed_in_desktop(server: &ServerProcess, email: &str) -> Result<Desktop, Fault> {
    let mut desktop = Desktop::new(server.address(), email, PASSWORD);
    desktop.login()?;
    Ok(desktop)
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// One line of progress: what is being done, then what came of it and how long it took.
struct Step(Instant);

impl Step {
    fn begin(what: &str) -> Step {
        print!("  {what:.<40} ");
        // Only a terminal that is gone fails here, and then nobody reads on.
        let _ = std::io::stdout().flush();
        Step(Instant::now())
    }

    fn end(self, outcome: &str) {
        println!("{outcome} ({:.1} s)", self.0.elapsed().as_secs_f64());
    }

    fn end_with(self, report: &TransferReport) {
        let rate = report.megabytes_per_second();
        self.end(&format!("{} files at {rate:.0} MB/s", report.transferred()));
    }
}

/// Rows of one table; columns are as wide as they need to be.
#[derive(Default)]
struct Table {
    rows: Vec<[String; 7]>,
}

impl Table {
    fn add(&mut self, client: &str, what: &str, report: &TransferReport) {
        self.rows.push([
            client.to_owned(),
            what.to_owned(),
            report.transferred().to_string(),
            with_thousands(report.bytes),
            format!("{:.1}", report.megabytes_per_second()),
            report.duplicates.to_string(),
            report.failed.len().to_string(),
        ]);
    }

    fn print(&self, title: &str) {
        let heading = ["client", "what", "files", "bytes", "MB/s", "duplicates", "failures"];
        let heading = heading.map(str::to_owned);
        let width = |column: usize| {
            let cells = self.rows.iter().chain([&heading]).map(|row| row[column].chars().count());
            cells.max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..heading.len()).map(width).collect();
        println!("\n{title}\n");
        for row in [&heading].into_iter().chain(&self.rows) {
            let cells: Vec<String> = row
                .iter()
                .enumerate()
                .map(|(column, cell)| match column {
                    0 | 1 => format!("{cell:<width$}", width = widths[column]),
                    _ => format!("{cell:>width$}", width = widths[column]),
                })
                .collect();
            println!("  {}", cells.join("   ").trim_end());
        }
        println!();
    }
}

fn with_thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

//! What other systems build and install PhotoSync by, and what cannot be run here: read by the tools that read such
//! files, and compared with the release that they speak of.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::install::Key;
use super::{SIGNER, project, run, said};

/// Files of a release, as the jobs for every system hand them over.
const ARTIFACTS: &[&str] = &[
    "photosync-0.1.0-x86_64-unknown-linux-gnu.tar.gz",
    "photosync-0.1.0-aarch64-unknown-linux-gnu.tar.gz",
    "photosync-0.1.0-x86_64-apple-darwin.tar.gz",
    "photosync-0.1.0-aarch64-apple-darwin.tar.gz",
    "PhotoSync-0.1.0-x86_64.dmg",
    "PhotoSync-0.1.0-aarch64.dmg",
    "photosync-server_0.1.0_amd64.deb",
];

/// The name of the setup program for Windows in the recipe of winget.
const SETUP: &str = "photosync-0.1.0-windows-setup.exe";

fn release(folder: &Path, files: &[&str]) -> (PathBuf, String) {
    let (key, out) = (Key::make(folder), folder.join("release"));
    fs::create_dir_all(&out).expect("a folder");
    for file in files {
        fs::write(out.join(file), format!("the bytes of {file}")).expect("a file");
        if file.ends_with(".gz") {
            let path = out.join(file).to_string_lossy().into_owned();
            let packed = run(
                "sh",
                &["-c", "gzip -n -c \"$1\" >\"$1.packed\" && mv \"$1.packed\" \"$1\"", "gz", &path],
            );
            assert!(packed.status.success(), "{}", said(&packed));
        }
    }
    let (private, from) = (key.private().to_string_lossy(), out.to_string_lossy());
    let options = ["--key", &private, "--artifacts", &from, "--signer", SIGNER];
    let outcome = run(project().join("scripts/package"), &options);
    assert!(outcome.status.success(), "{}", said(&outcome));
    (out, said(&outcome))
}

#[test]
fn what_other_machines_made_is_signed_as_one_release_and_every_manifest_has_its_checksums() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (out, _) = release(folder.path(), &[ARTIFACTS, &[SETUP]].concat());
    let list = fs::read_to_string(out.join("SHA256SUMS")).expect("the list");
    let sum = |file: &str| {
        let line = list.lines().find(|line| line.ends_with(&format!("  {file}")));
        line.unwrap_or_else(|| panic!("{file} is not listed")).split(' ').next().expect("a sum")
    };
    let checked = Command::new("sha256sum")
        .args(["--check", "--strict", "SHA256SUMS"])
        .current_dir(&out)
        .output()
        .expect("sha256sum");
    assert!(checked.status.success(), "{}", said(&checked));
    let text = |file: &str| fs::read_to_string(out.join(file)).expect(file);

    for file in ["photosync.rb", "photosync-desktop.rb"] {
        sum(file);
        let checked = run("ruby", &["-wc", &out.join(file).to_string_lossy()]);
        assert!(checked.status.success(), "{}", said(&checked));
        assert!(!text(file).contains('@'), "{}", text(file));
    }
    for file in ARTIFACTS.iter().filter(|file| file.ends_with(".tar.gz")) {
        let formula = text("photosync.rb");
        let address = format!("/releases/download/v0.1.0/{file}\"\n      sha256 \"{}\"", sum(file));
        assert!(formula.contains(&address), "{file}: {formula}");
    }
    for file in ARTIFACTS.iter().filter(|file| file.ends_with(".dmg")) {
        assert!(text("photosync-desktop.rb").contains(sum(file)), "{file}");
    }

    let manifests = [
        "PhotoSync.PhotoSync.yaml",
        "PhotoSync.PhotoSync.installer.yaml",
        "PhotoSync.PhotoSync.locale.en-US.yaml",
    ];
    for file in manifests {
        sum(file);
        let manifest = text(file);
        assert!(
            manifest
                .contains("PackageIdentifier: PhotoSync.PhotoSync\nPackageVersion: \"0.1.0\"\n"),
            "{manifest}"
        );
        assert!(manifest.ends_with("ManifestVersion: 1.6.0\n"), "{manifest}");
        assert!(!manifest.contains('@'), "{manifest}");
    }
    yamllint(&manifests.map(|file| out.join(file)));
    let installer = text(manifests[1]);
    assert!(
        installer.contains(&format!("/{SETUP}\"\n    InstallerSha256: \"{}\"", sum(SETUP))),
        "{installer}"
    );
}

#[test]
fn a_manifest_whose_file_was_not_made_is_left_out_and_said() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (out, text) = release(folder.path(), ARTIFACTS);
    assert!(
        text.contains(&format!(
            "left out: PhotoSync.PhotoSync.installer.yaml, as there is no {SETUP}"
        )),
        "{text}"
    );
    assert!(!out.join("PhotoSync.PhotoSync.installer.yaml").exists());
    assert!(out.join("photosync.rb").exists());
}

/// Fails for a mistake that `yamllint` finds; long lines and the like are none.
fn yamllint(files: &[PathBuf]) {
    let rules = "{extends: default, rules: {line-length: disable, document-start: disable, comments-indentation: disable, \
                 truthy: {check-keys: false}, comments: {min-spaces-from-content: 1}}}";
    let outcome = Command::new("yamllint")
        .args(["--strict", "-d", rules])
        .args(files)
        .output()
        .expect("yamllint");
    assert!(outcome.status.success(), "{}", said(&outcome));
}

#[test]
fn the_app_for_a_mac_has_its_programs_its_picture_and_no_place_in_the_dock() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let bin = folder.path().join("bin");
    fs::create_dir(&bin).expect("a folder");
    for program in ["photosync-server", "photosync", "photosync-tray"] {
        fs::write(bin.join(program), program).expect("a program");
    }
    let outcome = Command::new(project().join("installers/dmg/app"))
        .arg(folder.path())
        .env("PACKAGE_VERSION", "0.1.0")
        .env("PACKAGE_TARGET", "aarch64-apple-darwin")
        .env("PACKAGE_BIN", &bin)
        .env("PACKAGE_OUT", folder.path())
        .env("PACKAGE_TIME", "1700000000")
        .output()
        .expect("installers/dmg/app");
    assert!(outcome.status.success(), "{}", said(&outcome));
    let contents = folder.path().join("PhotoSync.app/Contents");
    let reader = "import plistlib, sys; it = plistlib.load(open(sys.argv[1], 'rb')); \
                  print(it['CFBundleExecutable'], it['CFBundleIconFile'], it['CFBundleShortVersionString'], it['LSUIElement'])";
    let plist = contents.join("Info.plist");
    let read = run("python3", &["-c", reader, &plist.to_string_lossy()]);
    assert_eq!(said(&read), "photosync-tray photosync 0.1.0 True\n");
    for file in [
        "MacOS/photosync-tray",
        "MacOS/photosync-server",
        "MacOS/photosync",
        "Resources/photosync.icns",
    ] {
        assert!(contents.join(file).is_file(), "{file}");
    }
}

/// What the steps of a workflow run passes shellcheck, each as a script of its own; and every job that another waits for
/// is there.
fn require_sound_scripts(workflow: &Path) {
    let reader = "jobs = YAML.load_file(ARGV[0])['jobs']; \
                  needed = jobs.values.flat_map { |job| Array(job['needs']) }; \
                  abort \"no job #{needed - jobs.keys}\" unless (needed - jobs.keys).empty?; \
                  puts JSON.generate(jobs.values.flat_map { |job| job['steps'] }.map { |step| step['run'] }.compact)";
    let workflow_path = workflow.to_string_lossy();
    let read = run("ruby", &["-ryaml", "-rjson", "-e", reader, &workflow_path]);
    assert!(read.status.success(), "{}", said(&read));
    let scripts: Vec<String> = serde_json::from_slice(&read.stdout).expect("the scripts");
    assert!(!scripts.is_empty());
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (number, script) in scripts.iter().enumerate() {
        // What the platform puts in is a word to the shell.
        let mut text = String::from("#!/usr/bin/env bash\nset -eo pipefail\n");
        let mut rest = script.as_str();
        while let Some((before, after)) = rest.split_once("${{") {
            text += before;
            text += "word";
            rest = after.split_once("}}").expect("an end").1;
        }
        text += rest;
        let path = folder.path().join(format!("{number}.sh"));
        fs::write(&path, text).expect("a script");
        let checked = run("shellcheck", &[&path.to_string_lossy()]);
        assert!(checked.status.success(), "{}: {}", workflow.display(), said(&checked));
    }
}

#[test]
fn the_workflows_are_understood_pin_what_they_use_and_show_the_key_to_one_job_only() {
    let folder = project().join(".github/workflows");
    let files = ["ci.yml", "release.yml"].map(|name| folder.join(name));
    let mut all = files.to_vec();
    all.push(project().join("installers/container/compose.yaml"));
    yamllint(&all);
    for file in &files {
        require_sound_scripts(file);
        let text = fs::read_to_string(file).expect("a workflow");
        for line in text.lines().filter_map(|line| line.trim().strip_prefix("- uses: ")) {
            let pin = line.split_once('@').expect("a version").1;
            let is_version = pin.strip_prefix('v').is_some_and(|it| it.parse::<u32>().is_ok());
            let is_commit = pin.len() == 40 && pin.bytes().all(|byte| byte.is_ascii_hexdigit());
            assert!(is_version || is_commit, "{}: {line}", file.display());
        }
        assert!(
            text.contains("\npermissions:"),
            "{} may do whatever the default is",
            file.display()
        );
        assert_eq!(
            text.matches("actions/checkout@").count(),
            text.matches("persist-credentials: false").count()
        );
    }
    let text = fs::read_to_string(&files[0]).expect("a workflow");
    assert!(!text.contains("secrets."), "checks of anybody's change see no secret");
    let text = fs::read_to_string(&files[1]).expect("a workflow");
    let (builds, publish) = text.split_once("\n  publish:\n").expect("the last job");
    assert!(!builds.contains("secrets.PHOTOSYNC"), "a job that builds has the key");
    assert!(publish.contains("secrets.PHOTOSYNC_RELEASE_KEY }}"), "{publish}");
    assert!(publish.contains("environment: release"), "{publish}");
    assert!(!publish.contains("cargo "), "the job with the key builds nothing");
}

#[test]
fn its_help_names_every_option_that_it_takes() {
    let script = fs::read_to_string(project().join("install.sh")).expect("install.sh");
    let outcome = run("sh", &[&project().join("install.sh").to_string_lossy(), "--help"]);
    assert!(outcome.status.success(), "{}", said(&outcome));
    let taken = script.lines().filter_map(|line| line.trim().strip_prefix("--")?.split_once(')'));
    let mut count = 0;
    for (option, _) in taken.filter(|(option, _)| !option.contains(' ')) {
        assert!(said(&outcome).contains(&format!("--{option}")), "--{option}");
        count += 1;
    }
    assert!(count >= 8, "{count} options found in the script");
}

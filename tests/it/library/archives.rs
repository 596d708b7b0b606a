//! Many originals as one archive.

use photosync_tests::http::Client;
use photosync_tests::relay::opaque_bytes;
use serde_json::{Value, json};

use super::Owner;
use crate::stand::Stand;
use crate::sync::json_of;

/// Names and SHA-256 of what is in an archive, as Python reads it; it checks every checksum.
const UNPACK: &str = "import sys,zipfile,hashlib
z=zipfile.ZipFile(sys.argv[1])
assert z.testzip() is None
for i in z.infolist():
    print(hashlib.sha256(z.read(i)).hexdigest(), '%04d-%02d-%02dT%02d:%02d:%02d' % i.date_time, i.filename)
";

#[test]
fn an_archive_has_the_promised_length_and_every_byte_and_is_its_owners() {
    let stand = Stand::shared();
    let (alice, bob) = (Owner::new(&stand), Owner::new(&stand));
    let mut wanted = Vec::new();
    for (n, name) in
        ["a.jpg", "%E5%AF%AB%E7%9C%9F%20%F0%9F%93%B7.jpg", "large.mov"].iter().enumerate()
    {
        let bytes = opaque_bytes(9490 + n as u64, 300_000 * n + 7);
        alice.picture(name, "2024-05-12T18:30:06", &bytes);
        let digest = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&bytes));
        let name = ["a.jpg", "寫真 📷.jpg", "large.mov"][n];
        wanted.push(format!("{digest} 2024-05-12T18:30:06 {name}"));
    }
    let prepare = |body: Value| alice.send_json("POST", "/library/downloads", &body);
    let download = json_of(&prepare(json!({"everything": true})));
    assert_eq!(download["files"], 3);
    let path = download["path"].as_str().expect("a path");
    let archive = alice.browser.get(path);
    assert_eq!(archive.status(), 200);
    assert_eq!(archive.body.len() as u64, download["size_bytes"].as_u64().unwrap());
    assert_eq!(archive.header("content-type"), Some("application/zip"));
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), &archive.body).expect("written");
    let mut python = std::process::Command::new("python3");
    let read = python.args(["-c", UNPACK]).arg(file.path()).output().expect("python3");
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    assert_eq!(String::from_utf8_lossy(&read.stdout).lines().collect::<Vec<_>>(), wanted);

    assert_eq!(bob.browser.get(path).status(), 404);
    for body in [json!({}), json!({"everything": true, "ids": ["x"]})] {
        assert_eq!(prepare(body).status(), 400);
    }
    assert_eq!(prepare(json!({"ids": ["nothing"]})).status(), 404);
    // A file that is gone by the time it is sent: never a short archive that looks whole.
    std::fs::remove_file(alice.person.folder.join("large.mov")).expect("removed");
    let broken = Client::new(alice.stand.address()).send(alice.browser.request("GET", path));
    assert!(broken.is_err(), "the connection ends early");
}

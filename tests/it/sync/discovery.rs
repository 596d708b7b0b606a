//! The announcement on the local network, seen by an independent client in a network of its own.

use std::path::Path;
use std::process::Command;

use photosync_tests::server::find_binary;

#[test]
fn another_machine_finds_the_server_follows_its_address_and_sees_it_go() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("discovery/run");
    let server = find_binary().expect("a built server");
    let mut command = match rustix::process::geteuid().is_root() {
        true => Command::new(&script),
        false => {
            let mut sudo = Command::new("sudo");
            sudo.arg("-n").arg(&script);
            sudo
        }
    };
    // The client is built beside the server; a server from elsewhere is tested without it.
    let client = server.with_file_name("photosync");
    let ran = command.arg(&server).args(Some(client).filter(|client| client.exists())).output();
    let by_hand = format!("by hand: sudo {} {}", script.display(), server.display());
    let ran =
        ran.unwrap_or_else(|error| panic!("network namespaces need root: {error}; {by_hand}"));
    let (said, complaint) =
        (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{said}{complaint}{by_hand}");
    assert!(said.ends_with("discovery: ok\n"), "{said}{complaint}");
}

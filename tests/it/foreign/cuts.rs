//! The tools of the fault tests, proved on a server that was not written here.

use std::fs;

use photosync_tests::cuts::{Cuts, Place, run};
use photosync_tests::seeded::SeededFile;

use super::TusServer;

#[test]
fn a_cut_upload_to_another_tus_server_ends_whole() {
    let server = TusServer::start();
    let place =
        Place { address: server.address, path: TusServer::PATH.to_owned(), headers: Vec::new() };
    let cuts = Cuts { size_bytes: 20 << 20, cuts: 30, seed: 5, piece_bytes: u64::MAX };
    let figures = run(&cuts, &place, &[("filename", b"a.mp4")]).expect("a finished upload");
    assert_eq!(figures.sent_twice.len(), 30, "{figures}");
    let kept = fs::read(server.file_of(&figures.upload)).expect("the file of the upload");
    assert!(kept == SeededFile::new(5, 20 << 20).to_vec(), "the same bytes; {figures}");
}

//! A server that lists the same page again and again is found out instead of asked for ever.

use std::collections::BTreeSet;
use std::time::Duration;

use photosync_client::error::{Error, Kind};
use photosync_client::relay::Store;
use photosync_client::relay::version1::{self, Source};
use photosync_client::report::Report;
use photosync_client::restore::Options;
use photosync_protocol::digest::Digest;
use photosync_protocol::format::object;

use crate::fake::{EMAIL, PASSWORD};
use crate::relay::restore_options;
use crate::stand::Stand;

/// An answer that takes longer never comes.
const SOON: Duration = Duration::from_secs(20);

async fn stand(count: u8, repeats_pages: bool) -> Stand {
    let stand = Stand::new().await;
    let mut inner = stand.fake.lock();
    inner.sealed = sealed(count);
    inner.repeats_pages = repeats_pages;
    drop(inner);
    stand
}

fn sealed(count: u8) -> BTreeSet<Digest> {
    (0..count).map(|byte| Digest([byte; 32])).collect()
}

async fn list(stand: &Stand) -> Result<Vec<Digest>, Error> {
    let store = Store::remote(stand.connection()).await.unwrap();
    tokio::time::timeout(SOON, store.list(object::Kind::Manifest)).await.expect("it ends")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_of_sealed_objects_goes_on_or_the_server_is_not_believed() {
    let honest = stand(5, false).await;
    assert_eq!(list(&honest).await.unwrap(), Vec::from_iter(sealed(5)));
    let lying = stand(5, true).await;
    let error = list(&lying).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unexpected, "{error}");
    assert_eq!(lying.fake.take_asked().len(), 2);
}

/// Restores what nothing of is there but the list.
async fn restore(stand: &Stand) -> Error {
    let source = Source::sign_in(&stand.connection(), EMAIL, PASSWORD).await.unwrap();
    let keys = version1::keys_of(EMAIL, PASSWORD);
    let options = Options { folder: stand.folder.path().join("back"), ..restore_options() };
    let report: std::sync::Arc<dyn Report> = stand.kept.clone();
    let restoring = version1::restore(source, &keys, &options, &report, &stand.stop);
    tokio::time::timeout(SOON, restoring).await.expect("it ends").unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_of_version_1_manifests_goes_on_or_the_server_is_not_believed() {
    // All were listed: each manifest is asked for, and none is there.
    for (count, repeats_pages) in [(5, false), (2, true)] {
        let error = restore(&stand(count, repeats_pages).await).await;
        assert_eq!((error.kind, error.code), (Kind::File, "missing"), "{error}");
    }
    let lying = stand(5, true).await;
    let error = restore(&lying).await;
    assert_eq!(error.kind, Kind::Unexpected, "{error}");
    assert!(error.message.contains("5 manifests, and lists the same 2"), "{error}");
    assert!(!lying.folder.path().join("back").exists());
}

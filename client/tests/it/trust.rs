//! The right server and no other.

use photosync_client::credentials::{Credentials, Trust};
use photosync_client::error::Kind;
use photosync_client::signing_in::{First, Secret, pair, reach, sign_in};

use crate::fake::{CODE, EMAIL, Fake};
use crate::stand::Stand;

fn key() -> rcgen::KeyPair {
    rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap()
}

/// A port of this machine on which nobody listens, and which nobody else is given while this lives: a bound socket
/// holds it, and one that does not listen is in no listener's way.
struct HeldPort {
    number: u16,
    _hold: tokio::net::TcpSocket,
}

impl HeldPort {
    fn take() -> Self {
        let hold = tokio::net::TcpSocket::new_v4().unwrap();
        hold.set_reuseaddr(true).unwrap();
        hold.bind(([127, 0, 0, 1], 0).into()).unwrap();
        Self { number: hold.local_addr().unwrap().port(), _hold: hold }
    }
}

fn first() -> First {
    First {
        report: std::sync::Arc::new(photosync_client::report::Quiet),
        stop: tokio_util::sync::CancellationToken::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_works_over_tls_with_the_pinned_key() {
    let stand = Stand::on(Fake::start_with(&key(), true, None).await).await;
    stand.photo("a.jpg", b"a", 0);
    assert!(stand.backup().await.unwrap().complete);
    assert_eq!(Credentials::get(&stand.profile).unwrap().trust, Trust::Key);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_another_key_is_refused_with_an_explanation_and_gets_nothing() {
    let stand = Stand::on(Fake::start_with(&key(), true, None).await).await;
    stand.photo("a.jpg", b"a", 0);
    let other = Fake::start_with(&key(), true, None).await;
    let mut credentials = Credentials::get(&stand.profile).unwrap();
    credentials.url = other.url();
    credentials.store(&stand.profile).unwrap();
    let error = stand.backup().await.unwrap_err();
    assert_eq!(error.kind, Kind::WrongServer, "{error}");
    assert!(error.message.contains("Nothing was sent"), "{error}");
    assert!(other.take_asked().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_key_is_asked_about_and_a_no_sends_no_password() {
    let fake = Fake::start_with(&key(), true, None).await;
    let asked = std::sync::Mutex::new(Vec::new());
    let refuse = |name: &str, key: &str| {
        asked.lock().unwrap().push((name.to_owned(), key.to_owned()));
        Ok(false)
    };
    let error = reach(&first(), &fake.url(), None, &refuse).await.err().unwrap();
    assert_eq!(error.kind, Kind::WrongServer);
    assert_eq!(*asked.lock().unwrap(), [("attic".to_owned(), fake.fingerprint())]);
    let accept = |_: &str, _: &str| Ok(true);
    let server = reach(&first(), &fake.url(), None, &accept).await.unwrap();
    assert_eq!(server.trust, Trust::Key);
    let wrong = Some(photosync_protocol::v2::session::fingerprint(&[1; 32]));
    let error = reach(&first(), &fake.url(), wrong, &accept).await.err().unwrap();
    assert_eq!(error.kind, Kind::WrongServer);
    assert!(fake.take_asked().iter().all(|(_, path, _)| path.ends_with("/server")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_or_code_is_refused_and_leaves_no_credentials() {
    let fake = Fake::start().await;
    let folder = tempfile::tempdir().unwrap();
    let profile = photosync_client::profile::Profile::at(folder.path());
    let server = reach(&first(), &fake.url(), None, &|_, _| Ok(false)).await.unwrap();
    let error = sign_in(&server, &profile, EMAIL, "wrong", "desk").await.unwrap_err();
    assert_eq!(error.kind, Kind::SignIn);
    let code = Secret::Code("AAAAAAAA".into());
    let error = pair(&server, &profile, code, "desk").await.unwrap_err();
    assert_eq!(error.kind, Kind::SignIn);
    assert!(!profile.credentials_file().exists());
    pair(&server, &profile, Secret::Code(CODE.into()), "desk").await.unwrap();
    assert_eq!(Credentials::get(&profile).unwrap().email, EMAIL);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_moved_is_found_by_its_list_and_another_key_at_a_listed_address_is_passed_over()
 {
    let (right, other) = (key(), key());
    let (old, new) = (HeldPort::take(), HeldPort::take());
    let fake = Fake::start_with(&right, true, Some(old.number)).await;
    let stranger = Fake::start_with(&other, true, None).await;
    fake.lock().endpoints =
        vec![fake.url(), stranger.url(), format!("http://127.0.0.1:{}", new.number)];
    let stand = Stand::on(fake.clone()).await;
    stand.photo("a.jpg", b"a", 0);
    fake.close().await;
    let moved = Fake::start_with(&right, true, Some(new.number)).await;
    moved.accept_tokens_of(&fake);

    assert!(stand.backup().await.unwrap().complete);
    assert_eq!(moved.names(), ["a.jpg"]);
    assert!(stranger.take_asked().is_empty());
    let says = format!("reached at {}", moved.url());
    let said = |stand: &Stand| stand.notes().iter().filter(|note| **note == says).count();
    assert_eq!(said(&stand), 1, "{:?}", stand.notes());

    // It is remembered: the next run asks there at once, and a run without a change is one request.
    moved.take_asked();
    assert!(stand.backup().await.unwrap().complete);
    assert_eq!(moved.take_asked().len(), 1);
    assert_eq!(said(&stand), 1);

    // Back at the typed address: found there again.
    moved.close().await;
    let back = Fake::start_with(&right, true, Some(old.number)).await;
    back.accept_tokens_of(&fake);
    stand.photo("b.jpg", b"b", 0);
    assert!(stand.backup().await.unwrap().complete);
    assert_eq!(back.names(), ["a.jpg", "b.jpg"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_another_key_at_the_old_address_hides_no_server_that_moved() {
    let right = key();
    let (old, new) = (HeldPort::take(), HeldPort::take());
    let fake = Fake::start_with(&right, true, Some(old.number)).await;
    fake.lock().endpoints = vec![format!("https://127.0.0.1:{}", new.number)];
    let stand = Stand::on(fake.clone()).await;
    stand.photo("film.mp4", &crate::stand::noise(9 << 20, 1), 0);
    fake.close().await;
    let squatter = Fake::start_with(&key(), true, Some(old.number)).await;
    let moved = Fake::start_with(&right, true, Some(new.number)).await;
    moved.accept_tokens_of(&fake);
    assert!(stand.backup().await.unwrap().complete);
    assert_eq!(moved.names(), ["film.mp4"]);
    assert!(squatter.take_asked().is_empty());
}

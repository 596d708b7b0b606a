//! Photos shared with the installed web app while no service worker takes them: the form reaches the server itself.

use std::collections::BTreeMap;

use photosync_tests::http::{Answer, Body, Request};

use crate::browsers::Browser;
use crate::stand::{PASSWORD, Person, Stand};

const BOUNDARY: &str = "----a-line-between-parts";
/// What Chromium says of a form that the system sends.
const BY_THE_SYSTEM: &[(&str, &str)] = &[("Sec-Fetch-Site", "none"), ("Origin", "null")];

/// A form as phones send it: a title that nobody asked for, then files.
fn form(files: &[(&str, &[u8])]) -> Vec<u8> {
    let part = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=");
    let mut form = format!("{part}\"title\"\r\n\r\nHolidays\r\n").into_bytes();
    for (name, bytes) in files {
        let head =
            format!("{part}\"files\"; filename=\"{name}\"\r\nContent-Type: image/jpeg\r\n\r\n");
        form.extend(head.as_bytes());
        form.extend(*bytes);
        form.extend(b"\r\n");
    }
    form.extend(format!("--{BOUNDARY}--\r\n").as_bytes());
    form
}

fn share(stand: &Stand, cookie: &str, from: &[(&str, &str)], form: &[u8]) -> Answer {
    let mut request = Request::new("POST", "/share-target")
        .header("Host", stand.address().to_string())
        .header("Content-Type", format!("multipart/form-data; boundary={BOUNDARY}"));
    if !cookie.is_empty() {
        request = request.header("Cookie", cookie);
    }
    for (name, value) in from {
        request = request.header(name, value);
    }
    stand.send(request.body(Body::Bytes(form)))
}

/// Somebody at a browser, with an empty library.
fn somebody(stand: &Stand) -> (Person, String) {
    let person = stand.person();
    let browser = Browser::sign_in(stand, &person.email, PASSWORD);
    let cookie = browser.cookie.clone();
    (person, cookie)
}

fn held(files: &[(&str, &[u8])]) -> BTreeMap<String, Vec<u8>> {
    files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect()
}

/// Where the browser is led; it must be by GET.
fn led_to(answer: &Answer) -> &str {
    assert_eq!(answer.status(), 303, "{}", answer.text());
    answer.header("location").unwrap_or_default()
}

#[test]
fn what_a_phone_shares_is_stored_and_the_browser_is_led_to_what_became_of_it() {
    let stand = Stand::shared();
    let (person, cookie) = somebody(&stand);
    let large: Vec<u8> = (0..3_000_000u32).map(|at| (at % 251) as u8).collect();
    let files: &[(&str, &[u8])] = &[("IMG_1.jpg", &large), ("IMG_2.jpg", b"a second picture")];
    let first = share(&stand, &cookie, BY_THE_SYSTEM, &form(files));
    assert_eq!(led_to(&first), "/?shared=2&known=0&refused=0&why=");
    assert_eq!(person.on_disk(), held(files));
    let again = share(&stand, &cookie, BY_THE_SYSTEM, &form(&files[1..]));
    assert_eq!(led_to(&again), "/?shared=0&known=1&refused=0&why=");
    let nothing = share(&stand, &cookie, BY_THE_SYSTEM, &form(&[]));
    assert_eq!(led_to(&nothing), "/?shared=0&known=0&refused=0&why=");
    assert_eq!((person.on_disk(), person.staged()), (held(files), 0));
}

#[test]
fn one_file_that_cannot_be_stored_keeps_no_other_out_and_says_why() {
    let stand = Stand::shared();
    let (person, cookie) = somebody(&stand);
    let files: &[(&str, &[u8])] = &[("a.jpg", b"one"), ("empty.jpg", b""), ("", b"nameless")];
    let answer = share(&stand, &cookie, BY_THE_SYSTEM, &form(files));
    assert_eq!(led_to(&answer), "/?shared=2&known=0&refused=1&why=empty_file");
    assert_eq!(person.on_disk(), held(&[("a.jpg", b"one"), ("Shared photo", b"nameless")]));
    assert_eq!(person.staged(), 0);
}

#[test]
fn a_form_that_breaks_off_leaves_whole_photos_and_no_half_one() {
    let stand = Stand::shared();
    let (person, cookie) = somebody(&stand);
    let whole =
        form(&[("whole.jpg", b"a whole picture"), ("half.jpg", b"only the first half of it")]);
    let cut = whole.len() - 40;
    let answer = share(&stand, &cookie, BY_THE_SYSTEM, &whole[..cut]);
    assert_eq!(led_to(&answer), "/?shared=1&known=0&refused=1&why=body_incomplete");
    assert_eq!(person.on_disk(), held(&[("whole.jpg", b"a whole picture")]));
    assert_eq!(person.staged(), 0);
}

#[test]
fn no_page_elsewhere_adds_a_photo_although_the_browser_sends_the_cookie() {
    let stand = Stand::shared();
    let (person, cookie) = somebody(&stand);
    let forged = form(&[("forged.jpg", b"forged")]);
    let here = format!("http://{}", stand.address());
    let beside = format!("http://{}:1", stand.address().ip());
    let pages: &[&[(&str, &str)]] = &[
        &[("Sec-Fetch-Site", "cross-site"), ("Origin", "http://evil.example")],
        &[("Sec-Fetch-Site", "cross-site"), ("Origin", &here)],
        &[("Sec-Fetch-Site", "same-site"), ("Origin", &beside)],
        &[("Origin", "http://evil.example")],
        // Browsers that do not say where a request comes from: another port, a page without an origin, nothing at all.
        &[("Origin", &beside)],
        &[("Origin", "null")],
        &[],
    ];
    for page in pages {
        let answer = share(&stand, &cookie, page, &forged);
        assert_eq!(answer.status(), 403, "{page:?}: {}", answer.text());
    }
    assert_eq!((person.names(), person.staged()), (Vec::new(), 0));
    let own = share(&stand, &cookie, &[("Origin", &here)], &form(&[("own.jpg", b"own")]));
    assert_eq!(led_to(&own), "/?shared=1&known=0&refused=0&why=");
    assert_eq!(person.names(), ["own.jpg"]);
}

#[test]
fn who_is_not_signed_in_is_led_to_the_door_and_nothing_is_kept() {
    let stand = Stand::shared();
    let person = stand.person();
    let photo = form(&[("lost.jpg", b"lost")]);
    let bearer = format!("Bearer {}", person.token);
    let by_token: &[(&str, &str)] = &[BY_THE_SYSTEM[0], ("Authorization", &bearer)];
    for (cookie, from) in
        [("", BY_THE_SYSTEM), ("photosync=psw_of-nobody", BY_THE_SYSTEM), ("", by_token)]
    {
        let answer = share(&stand, cookie, from, &photo);
        assert_eq!(led_to(&answer), "/sign-in?shared=unknown");
    }
    assert_eq!((person.names(), person.staged()), (Vec::new(), 0));
}

//! Sequences of tus requests that are played against two servers, and how their answers may differ.
//!
//! A line is `METHOD [@PATH] [Header=value …] [< body]`. `Tus-Resumable: 1.0.0` goes with each, a name with `POST`,
//! and the media type of the protocol with `PATCH`; `Header=` leaves one out. Without a path, `POST` and `OPTIONS` go
//! to where uploads are created and all else to the upload created last. `@1` is the first upload created, `@none`
//! one that never was.

/// `hello` and ` world` with their SHA-1, as `Upload-Checksum` has it.
const SHA1_HELLO: &str = "Upload-Checksum=sha1~qvTGHdzF6KLavt4PO0gs2a6pQ00=";
const SHA1_WRONG: &str = "Upload-Checksum=sha1~AAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// Name and lines of every sequence.
pub(super) fn scripts() -> Vec<(&'static str, Vec<String>)> {
    let mut all: Vec<(&'static str, Vec<String>)> = SCRIPTS
        .iter()
        .map(|(name, lines)| (*name, lines.iter().map(|line| (*line).to_owned()).collect()))
        .collect();
    let create = "POST Upload-Length=11".to_owned();
    all.push((
        "checksum right",
        vec![create.clone(), format!("PATCH Upload-Offset=0 {SHA1_HELLO} < hello"), "HEAD".into()],
    ));
    all.push((
        "checksum wrong",
        vec![create.clone(), format!("PATCH Upload-Offset=0 {SHA1_WRONG} < hello"), "HEAD".into()],
    ));
    all.push((
        "checksum wrong and then right",
        vec![
            create.clone(),
            format!("PATCH Upload-Offset=0 {SHA1_WRONG} < hello"),
            format!("PATCH Upload-Offset=0 {SHA1_HELLO} < hello"),
            "HEAD".into(),
        ],
    ));
    all.push((
        "checksum of an unknown algorithm",
        vec![
            create,
            "PATCH Upload-Offset=0 Upload-Checksum=crc9~AAAA < hello".into(),
            "HEAD".into(),
        ],
    ));
    all
}

const SCRIPTS: &[(&str, &[&str])] = &[
    ("what a server says of itself", &["OPTIONS"]),
    ("what a server says without a version", &["OPTIONS Tus-Resumable="]),
    ("create", &["POST Upload-Length=11"]),
    ("create and ask", &["POST Upload-Length=11", "HEAD"]),
    ("one piece", &["POST Upload-Length=11", "PATCH Upload-Offset=0 < hello world", "HEAD"]),
    (
        "two pieces",
        &[
            "POST Upload-Length=11",
            "PATCH Upload-Offset=0 < hello",
            "HEAD",
            "PATCH Upload-Offset=5 <  world",
            "HEAD",
        ],
    ),
    ("an empty piece", &["POST Upload-Length=11", "PATCH Upload-Offset=0 <", "HEAD"]),
    ("an empty file", &["POST Upload-Length=0", "HEAD"]),
    ("an offset too high", &["POST Upload-Length=11", "PATCH Upload-Offset=5 < hello", "HEAD"]),
    (
        "an offset too low",
        &[
            "POST Upload-Length=11",
            "PATCH Upload-Offset=0 < hello",
            "PATCH Upload-Offset=2 < llo",
            "HEAD",
        ],
    ),
    (
        "the same piece twice",
        &[
            "POST Upload-Length=11",
            "PATCH Upload-Offset=0 < hello",
            "PATCH Upload-Offset=0 < hello",
            "HEAD",
        ],
    ),
    (
        "more than announced",
        &["POST Upload-Length=5", "PATCH Upload-Offset=0 < hello world", "HEAD"],
    ),
    (
        "more after the end",
        &[
            "POST Upload-Length=5",
            "PATCH Upload-Offset=0 < hello",
            "PATCH Upload-Offset=5 < x",
            "HEAD",
        ],
    ),
    (
        "an offset that is no number",
        &["POST Upload-Length=11", "PATCH Upload-Offset=x < hello", "HEAD"],
    ),
    ("a negative offset", &["POST Upload-Length=11", "PATCH Upload-Offset=-1 < hello", "HEAD"]),
    ("no offset", &["POST Upload-Length=11", "PATCH < hello", "HEAD"]),
    (
        "no media type",
        &["POST Upload-Length=11", "PATCH Upload-Offset=0 Content-Type= < hello", "HEAD"],
    ),
    (
        "another media type",
        &["POST Upload-Length=11", "PATCH Upload-Offset=0 Content-Type=text/plain < hello", "HEAD"],
    ),
    ("a length that is no number", &["POST Upload-Length=eleven"]),
    ("a negative length", &["POST Upload-Length=-11"]),
    ("a length beyond all files", &["POST Upload-Length=99999999999999999999999"]),
    ("no length", &["POST"]),
    ("length and deferred length", &["POST Upload-Length=11 Upload-Defer-Length=1"]),
    ("a deferred length other than 1", &["POST Upload-Defer-Length=2"]),
    ("deferred", &["POST Upload-Defer-Length=1", "HEAD"]),
    (
        "deferred and announced with the piece",
        &["POST Upload-Defer-Length=1", "PATCH Upload-Offset=0 Upload-Length=5 < hello", "HEAD"],
    ),
    (
        "deferred and announced with the second piece",
        &[
            "POST Upload-Defer-Length=1",
            "PATCH Upload-Offset=0 < hello",
            "HEAD",
            "PATCH Upload-Offset=5 Upload-Length=11 <  world",
            "HEAD",
        ],
    ),
    (
        "announced twice",
        &[
            "POST Upload-Defer-Length=1",
            "PATCH Upload-Offset=0 Upload-Length=11 < hello",
            "PATCH Upload-Offset=5 Upload-Length=12 <  world",
            "HEAD",
        ],
    ),
    (
        "announced shorter than what is there",
        &[
            "POST Upload-Defer-Length=1",
            "PATCH Upload-Offset=0 < hello",
            "PATCH Upload-Offset=5 Upload-Length=3 <",
            "HEAD",
        ],
    ),
    (
        "a length for an upload that has one",
        &["POST Upload-Length=11", "PATCH Upload-Offset=0 Upload-Length=11 < hello", "HEAD"],
    ),
    ("an upload that never was", &["HEAD @none"]),
    ("a piece for an upload that never was", &["PATCH @none Upload-Offset=0 < hello"]),
    ("an end for an upload that never was", &["DELETE @none"]),
    ("ended", &["POST Upload-Length=11", "DELETE", "HEAD", "PATCH Upload-Offset=0 < hello"]),
    (
        "ended in the middle",
        &["POST Upload-Length=11", "PATCH Upload-Offset=0 < hello", "DELETE", "HEAD"],
    ),
    ("ended twice", &["POST Upload-Length=11", "DELETE", "DELETE"]),
    (
        "ended after the end",
        &["POST Upload-Length=5", "PATCH Upload-Offset=0 < hello", "DELETE", "HEAD"],
    ),
    ("without a version", &["POST Upload-Length=11 Tus-Resumable="]),
    ("another version", &["POST Upload-Length=11 Tus-Resumable=0.2.2"]),
    (
        "another version later",
        &[
            "POST Upload-Length=11",
            "HEAD Tus-Resumable=0.2.2",
            "PATCH Tus-Resumable=0.2.2 Upload-Offset=0 < hello",
            "HEAD",
        ],
    ),
    (
        "created with its first bytes",
        &["POST Upload-Length=11 Content-Type=application/offset+octet-stream < hello", "HEAD"],
    ),
    (
        "created with all its bytes",
        &["POST Upload-Length=5 Content-Type=application/offset+octet-stream < hello", "HEAD"],
    ),
    (
        "created with more than announced",
        &["POST Upload-Length=3 Content-Type=application/offset+octet-stream < hello"],
    ),
    (
        "created with its bytes and a deferred length",
        &[
            "POST Upload-Defer-Length=1 Content-Type=application/offset+octet-stream < hello",
            "HEAD",
            "PATCH Upload-Offset=5 Upload-Length=11 <  world",
            "HEAD",
        ],
    ),
    ("described", &["POST Upload-Length=11 Upload-Metadata=filename~YS5qcGc=,note~aGk=", "HEAD"]),
    (
        "described by a key alone",
        &["POST Upload-Length=11 Upload-Metadata=filename~YS5qcGc=,private", "HEAD"],
    ),
    ("described by an empty text", &["POST Upload-Length=11 Upload-Metadata=", "HEAD"]),
    ("described by what is no base64", &["POST Upload-Length=11 Upload-Metadata=filename~!!!"]),
    ("described by one key twice", &["POST Upload-Length=11 Upload-Metadata=a~YQ==,a~YQ=="]),
    (
        "a POST that stands for a PATCH",
        &[
            "POST Upload-Length=11",
            "POST @1 X-HTTP-Method-Override=PATCH Upload-Offset=0 Content-Type=application/offset+octet-stream < hello",
            "HEAD",
        ],
    ),
    (
        "two uploads side by side",
        &[
            "POST Upload-Length=5",
            "POST Upload-Length=11",
            "PATCH @1 Upload-Offset=0 < hello",
            "HEAD @1",
            "HEAD",
        ],
    ),
    ("methods that are none", &["PUT @1", "POST Upload-Length=5", "PUT @1"]),
];

/// A difference that is wanted.
pub(super) struct Difference {
    /// Name of the sequence; empty for all.
    pub(super) script: &'static str,
    /// Method of the request; empty for all.
    pub(super) method: &'static str,
    /// `status`, or the name of a header.
    pub(super) what: &'static str,
    /// What this server says: nothing if empty, anything if `*`.
    pub(super) here: &'static str,
    /// What `@tus/server` says, likewise.
    pub(super) there: &'static str,
    /// Why the two answer differently.
    pub(super) why: &'static str,
}

const fn differs(
    script: &'static str,
    method: &'static str,
    what: &'static str,
    here: &'static str,
    there: &'static str,
    why: &'static str,
) -> Difference {
    Difference { script, method, what, here, there, why }
}

const OFFSET_AT_ONCE: &str = "the answer to a creation says where to go on: a repeated one finds bytes that are here already";
const EXPIRES_ALWAYS: &str =
    "a finished upload is known for seven days, and an unfinished one says when it ends when asked";
const NO_EMPTY_FILES: &str = "a photo of no bytes is refused, not kept";
const CHECKSUMS: &str = "the checksum extension is spoken here only";
const MORE_EXTENSIONS: &str = "checksum and concatenation are spoken here too";
const RIGHT_STATUS: &str = "the specification, or HTTP, has a status of its own for this case";
const OVERRIDE: &str = "X-HTTP-Method-Override is part of tus 1.0.0 and works here";
const REPEATED_LENGTH: &str =
    "saying the same length again changes nothing, so that it is no error";
const PAST_THE_END: &str =
    "the offset of a finished upload takes nothing more: a conflict, as for any other wrong offset";
const OTHER_VERSION: &str = "412 with the versions spoken, as tus 1.0.0 demands";

/// Every difference there is, with its reason. One that does not show any more fails the test.
pub(super) const DIFFERENCES: &[Difference] = &[
    differs("", "POST", "Upload-Offset", "0", "", OFFSET_AT_ONCE),
    differs("", "POST", "Upload-Expires", "there", "", EXPIRES_ALWAYS),
    differs("", "PATCH", "Upload-Expires", "there", "", EXPIRES_ALWAYS),
    differs("", "HEAD", "Upload-Expires", "there", "", EXPIRES_ALWAYS),
    differs("an empty file", "", "*", "*", "*", NO_EMPTY_FILES),
    differs("a POST that stands for a PATCH", "POST", "status", "204", "400", OVERRIDE),
    differs("a POST that stands for a PATCH", "POST", "Upload-Offset", "5", "", OVERRIDE),
    differs("a POST that stands for a PATCH", "HEAD", "Upload-Offset", "5", "0", OVERRIDE),
    differs("a length for an upload that has one", "PATCH", "*", "*", "*", REPEATED_LENGTH),
    differs(
        "a length for an upload that has one",
        "HEAD",
        "Upload-Offset",
        "5",
        "0",
        REPEATED_LENGTH,
    ),
    differs("another media type", "PATCH", "status", "415", "400", RIGHT_STATUS),
    differs("no media type", "PATCH", "status", "415", "403", RIGHT_STATUS),
    differs("no offset", "PATCH", "status", "400", "403", RIGHT_STATUS),
    differs("methods that are none", "PUT", "status", "405", "404", RIGHT_STATUS),
    differs("another version", "POST", "status", "412", "400", OTHER_VERSION),
    differs("another version", "POST", "Tus-Version", "1.0.0", "", OTHER_VERSION),
    differs("another version later", "", "status", "412", "400", OTHER_VERSION),
    differs("another version later", "", "Tus-Version", "1.0.0", "", OTHER_VERSION),
    differs("checksum wrong", "", "*", "*", "*", CHECKSUMS),
    differs("checksum wrong and then right", "PATCH", "*", "*", "*", CHECKSUMS),
    differs("checksum of an unknown algorithm", "", "*", "*", "*", CHECKSUMS),
    differs("without a version", "POST", "Tus-Version", "1.0.0", "", OTHER_VERSION),
    differs("", "OPTIONS", "Tus-Checksum-Algorithm", "sha1,sha256", "", CHECKSUMS),
    differs("", "OPTIONS", "Tus-Extension", "*", "*", MORE_EXTENSIONS),
    differs("more after the end", "PATCH", "status", "409", "413", PAST_THE_END),
];

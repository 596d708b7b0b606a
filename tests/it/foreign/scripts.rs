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

/// Where a difference shows.
#[derive(Debug)]
pub(super) enum Place {
    /// In every answer to this method, in all sequences.
    Every(&'static str),
    /// In the answer to one line of one sequence, counted from 0.
    Line(&'static str, usize),
}

impl Place {
    pub(super) fn is(&self, script: &str, line: usize, method: &str) -> bool {
        match self {
            Place::Every(wanted) => *wanted == method,
            Place::Line(wanted, number) => (*wanted, *number) == (script, line),
        }
    }
}

/// A difference that is wanted.
pub(super) struct Difference {
    pub(super) place: Place,
    /// `status`, or the name of a header.
    pub(super) what: &'static str,
    /// What this server says: nothing if empty.
    pub(super) here: &'static str,
    /// What `@tus/server` says, likewise.
    pub(super) there: &'static str,
    /// Why the two answer differently.
    pub(super) why: &'static str,
}

const fn differs(
    script: &'static str,
    line: usize,
    what: &'static str,
    here: &'static str,
    there: &'static str,
    why: &'static str,
) -> Difference {
    Difference { place: Place::Line(script, line), what, here, there, why }
}

const fn always(
    method: &'static str,
    what: &'static str,
    here: &'static str,
    there: &'static str,
    why: &'static str,
) -> Difference {
    Difference { place: Place::Every(method), what, here, there, why }
}

const OFFSET_AT_ONCE: &str = "the answer to a creation says where to go on: a repeated one finds bytes that are here already";
const EXPIRES_ALWAYS: &str =
    "a finished upload is known for seven days, and an unfinished one says when it ends when asked";
const NO_EMPTY_FILES: &str = "a photo of no bytes is refused, not kept";
const CHECKSUMS: &str =
    "the checksum extension is spoken here only: 460 or 400, and no byte of the piece is kept";
const OUR_EXTENSIONS: &str = "creation,creation-with-upload,creation-defer-length,expiration,checksum,termination,concatenation";
const THEIR_EXTENSIONS: &str =
    "creation,creation-with-upload,creation-defer-length,termination,expiration";
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
    always("POST", "Upload-Offset", "0", "", OFFSET_AT_ONCE),
    always("POST", "Upload-Expires", "there", "", EXPIRES_ALWAYS),
    always("PATCH", "Upload-Expires", "there", "", EXPIRES_ALWAYS),
    always("HEAD", "Upload-Expires", "there", "", EXPIRES_ALWAYS),
    always("OPTIONS", "Tus-Checksum-Algorithm", "sha1,sha256", "", CHECKSUMS),
    always("OPTIONS", "Tus-Extension", OUR_EXTENSIONS, THEIR_EXTENSIONS, MORE_EXTENSIONS),
    differs("an empty file", 0, "status", "400", "201", NO_EMPTY_FILES),
    differs("an empty file", 0, "Location", "", "there", NO_EMPTY_FILES),
    differs("an empty file", 1, "status", "404", "200", NO_EMPTY_FILES),
    differs("an empty file", 1, "Upload-Offset", "", "0", NO_EMPTY_FILES),
    differs("an empty file", 1, "Upload-Length", "", "0", NO_EMPTY_FILES),
    differs("an empty file", 1, "Upload-Metadata", "", "filename YS5qcGc=", NO_EMPTY_FILES),
    differs("an empty file", 1, "Cache-Control", "", "no-store", NO_EMPTY_FILES),
    differs("more after the end", 2, "status", "409", "413", PAST_THE_END),
    differs("no offset", 1, "status", "400", "403", RIGHT_STATUS),
    differs("no media type", 1, "status", "415", "403", RIGHT_STATUS),
    differs("another media type", 1, "status", "415", "400", RIGHT_STATUS),
    differs("a length for an upload that has one", 1, "status", "204", "400", REPEATED_LENGTH),
    differs("a length for an upload that has one", 1, "Upload-Offset", "5", "", REPEATED_LENGTH),
    differs("a length for an upload that has one", 2, "Upload-Offset", "5", "0", REPEATED_LENGTH),
    differs("without a version", 0, "Tus-Version", "1.0.0", "", OTHER_VERSION),
    differs("another version", 0, "status", "412", "400", OTHER_VERSION),
    differs("another version", 0, "Tus-Version", "1.0.0", "", OTHER_VERSION),
    differs("another version later", 1, "status", "412", "400", OTHER_VERSION),
    differs("another version later", 1, "Tus-Version", "1.0.0", "", OTHER_VERSION),
    differs("another version later", 2, "status", "412", "400", OTHER_VERSION),
    differs("another version later", 2, "Tus-Version", "1.0.0", "", OTHER_VERSION),
    differs("a POST that stands for a PATCH", 1, "status", "204", "400", OVERRIDE),
    differs("a POST that stands for a PATCH", 1, "Upload-Offset", "5", "", OVERRIDE),
    differs("a POST that stands for a PATCH", 2, "Upload-Offset", "5", "0", OVERRIDE),
    differs("methods that are none", 0, "status", "405", "404", RIGHT_STATUS),
    differs("methods that are none", 2, "status", "405", "404", RIGHT_STATUS),
    differs("checksum wrong", 1, "status", "460", "204", CHECKSUMS),
    differs("checksum wrong", 1, "Upload-Offset", "", "5", CHECKSUMS),
    differs("checksum wrong", 1, "Upload-Expires", "", "there", CHECKSUMS),
    differs("checksum wrong", 2, "Upload-Offset", "0", "5", CHECKSUMS),
    differs("checksum wrong and then right", 1, "status", "460", "204", CHECKSUMS),
    differs("checksum wrong and then right", 1, "Upload-Offset", "", "5", CHECKSUMS),
    differs("checksum wrong and then right", 1, "Upload-Expires", "", "there", CHECKSUMS),
    differs("checksum wrong and then right", 2, "status", "204", "409", CHECKSUMS),
    differs("checksum wrong and then right", 2, "Upload-Offset", "5", "", CHECKSUMS),
    differs("checksum of an unknown algorithm", 1, "status", "400", "204", CHECKSUMS),
    differs("checksum of an unknown algorithm", 1, "Upload-Offset", "", "5", CHECKSUMS),
    differs("checksum of an unknown algorithm", 1, "Upload-Expires", "", "there", CHECKSUMS),
    differs("checksum of an unknown algorithm", 2, "Upload-Offset", "0", "5", CHECKSUMS),
];

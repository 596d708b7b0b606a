//! The table of times: what a file and its devices say, and what is believed, under the zones of three machines.

use photosync_protocol::v2::claims::{CaptureSource, Captured, Claims};

use super::{Taken, Witnesses, taken};
use crate::media::facts::{ExifTimes, Facts};
use crate::media::times::from_iso;

/// 2026-01-01T00:00:00Z
const ARRIVED_MS: i64 = 1_767_225_600_000;

/// One line of the table: what is said as `key=value` words, the name, and what comes out.
struct Case(&'static str, &'static str, &'static str);

/// `source wall offset`; the offset is in minutes, or `-`.
fn shown(taken: Taken) -> String {
    let wall = crate::clock::iso_utc(taken.ms);
    let wall = wall.trim_end_matches('Z').trim_end_matches(".000");
    let offset = taken.offset_minutes.map_or("-".to_owned(), |minutes| minutes.to_string());
    format!("{} {wall} {offset}", taken.source)
}

fn utc_ms(text: &str) -> i64 {
    from_iso(text).expect("a time of the table").0
}

fn believed(said: &str, name: &str) -> String {
    let mut facts = Facts::default();
    let mut claims: Vec<Claims> = Vec::new();
    let claim = |text: &str, source| Claims {
        captured: Some(Captured::read(text, source).expect("a claim of the table")),
        ..Claims::default()
    };
    let mut exif = ExifTimes::default();
    for word in said.split(", ").filter(|word| !word.is_empty()) {
        let (key, value) = word.split_once('=').expect("key=value");
        let text = Some(value.to_owned());
        match key {
            "o" => exif.original = text,
            "o+" => exif.original_offset = text,
            "o." => exif.original_subsec = text,
            "d" => exif.digitized = text,
            "d+" => exif.digitized_offset = text,
            "d." => exif.digitized_subsec = text,
            "c" => exif.changed = text,
            "c+" => exif.changed_offset = text,
            "gps" => {
                let (date, time) = value.split_once(' ').expect("date and time");
                exif.gps_date = Some(date.to_owned());
                exif.gps_time = Some(time.to_owned());
            }
            "local" => facts.container_local = text,
            "utc" => facts.container_utc_ms = Some(utc_ms(value)),
            "library" => claims.push(claim(value, CaptureSource::Library)),
            "sidecar" => claims.push(claim(value, CaptureSource::Sidecar)),
            "unknown" => claims.push(claim(value, CaptureSource::Unknown)),
            "file" => claims.push(claim(value, CaptureSource::FileTime)),
            "changed" => {
                claims.push(Claims { modified_ms: Some(utc_ms(value)), ..Claims::default() })
            }
            other => panic!("{other} is no word of the table"),
        }
    }
    facts.exif = exif;
    shown(taken(Witnesses {
        times: &facts.times(),
        claims: &claims,
        name,
        arrived_at_ms: ARRIVED_MS,
    }))
}

const ARRIVAL: &str = "arrival 2026-01-01T00:00:00 -";

const TABLE: &[Case] = &[
    // EXIF alone, in the ways cameras write it.
    Case("o=2024:05:12 18:30:05", "", "exif 2024-05-12T18:30:05 -"),
    Case("o=2024:05:12 18:30:05, o+=+02:00", "", "exif 2024-05-12T18:30:05 120"),
    Case("o=2024:05:12 18:30:05, o+=-03:30", "", "exif 2024-05-12T18:30:05 -210"),
    Case("o=2024:05:12 18:30:05, o+=Z", "", "exif 2024-05-12T18:30:05 0"),
    Case("o=2024:05:12 18:30:05, o+=+05:45", "", "exif 2024-05-12T18:30:05 345"),
    Case("o=2024:05:12 18:30:05, o+=+14:00", "", "exif 2024-05-12T18:30:05 840"),
    Case("o=2024:05:12 18:30:05, o+=+25:00", "", "exif 2024-05-12T18:30:05 -"),
    Case("o=2024:05:12 18:30:05, o+=   :  ", "", "exif 2024-05-12T18:30:05 -"),
    Case("o=2024:05:12 18:30:05, o.=25", "", "exif 2024-05-12T18:30:05.250 -"),
    Case("o=2024:05:12 18:30:05, o.=123456", "", "exif 2024-05-12T18:30:05.123 -"),
    Case("o=2024:05:12 18:30:05, o.=abc", "", "exif 2024-05-12T18:30:05 -"),
    Case("o=2024-05-12 18:30:05", "", "exif 2024-05-12T18:30:05 -"),
    Case("o=2024-05-12T18:30:05Z", "", "exif 2024-05-12T18:30:05 -"),
    Case("o=2024/05/12 18:30:05", "", "exif 2024-05-12T18:30:05 -"),
    Case("o=2024:05:12 18:30", "", "exif 2024-05-12T18:30:00 -"),
    Case("o=1999:12:31 23:59:59", "", "exif 1999-12-31T23:59:59 -"),
    Case("o=1861:05:17 12:00:00", "", "exif 1861-05-17T12:00:00 -"),
    Case("o=2024:02:29 23:59:60", "", "exif 2024-03-01T00:00:00 -"),
    // What nobody set, or no clock shows.
    Case("o=0000:00:00 00:00:00", "", ARRIVAL),
    Case("o=    :  :     :  :  ", "", ARRIVAL),
    Case("o=", "", ARRIVAL),
    Case("o=1970:01:01 00:00:00", "", ARRIVAL),
    Case("o=1904:01:01 00:00:00", "", ARRIVAL),
    Case("o=2023:02:29 10:00:00", "", ARRIVAL),
    Case("o=2024:13:01 10:00:00", "", ARRIVAL),
    Case("o=2024:05:12 25:00:00", "", ARRIVAL),
    Case("o=2024:05:12", "", ARRIVAL),
    Case("o=garbage", "", ARRIVAL),
    // A clock that is ahead is no witness.
    Case("o=2031:05:12 18:30:05", "", ARRIVAL),
    Case("o=2031:05:12 18:30:05, library=2025-05-12T18:30:05", "", "library 2025-05-12T18:30:05 -"),
    Case("o=2026:01:01 14:00:00", "", "exif 2026-01-01T14:00:00 -"),
    // OffsetTime is about DateTime: it never shifts another time, and counts only for the same one.
    Case(
        "o=2024:05:12 18:30:05, c=2024:05:12 18:30:05, c+=+02:00",
        "",
        "exif 2024-05-12T18:30:05 120",
    ),
    Case(
        "o=2024:05:12 18:30:05, c=2024:06:01 09:00:00, c+=-08:00",
        "",
        "exif 2024-05-12T18:30:05 -",
    ),
    Case(
        "o=2024:05:12 18:30:05, o+=+01:00, c=2024:05:12 18:30:05, c+=+02:00",
        "",
        "exif 2024-05-12T18:30:05 60",
    ),
    Case("o=2024:05:12 18:30:05, d+=+02:00", "", "exif 2024-05-12T18:30:05 -"),
    // The satellites say the offset only when they agree about one.
    Case("o=2024:05:12 18:30:05, gps=2024:05:12 16:30:04", "", "exif 2024-05-12T18:30:05 120"),
    Case("o=2024:05:12 18:30:05, gps=2024:05:12 12:45:05", "", "exif 2024-05-12T18:30:05 345"),
    Case("o=2024:05:12 01:30:05, gps=2024:05:11 15:30:05", "", "exif 2024-05-12T01:30:05 600"),
    Case("o=2024:05:12 18:30:05, gps=2024:05:12 16:22:00", "", "exif 2024-05-12T18:30:05 -"),
    Case("o=2024:05:12 18:30:05, gps=2024:05:10 16:30:05", "", "exif 2024-05-12T18:30:05 -"),
    Case(
        "o=2024:05:12 18:30:05, o+=+03:00, gps=2024:05:12 16:30:05",
        "",
        "exif 2024-05-12T18:30:05 180",
    ),
    Case("gps=2024:05:12 16:30:05", "", "gps 2024-05-12T16:30:05 -"),
    Case("gps=2024-05-12 16:30:05", "", "gps 2024-05-12T16:30:05 -"),
    Case("gps=0000:00:00 00:00:00", "", ARRIVAL),
    Case(
        "gps=2024:05:12 16:30:05, library=2024-05-12T18:30:05+02:00",
        "",
        "library 2024-05-12T18:30:05 120",
    ),
    // Scanned or digitised, and changed.
    Case("d=2024:05:12 18:30:05", "", "exif 2024-05-12T18:30:05 -"),
    Case("d=2024:05:12 18:30:05, d+=+02:00, d.=5", "", "exif 2024-05-12T18:30:05.500 120"),
    Case("d=2024:05:12 18:30:05, gps=2024:05:12 16:30:05", "", "exif 2024-05-12T18:30:05 120"),
    Case("o=0000:00:00 00:00:00, d=2024:05:12 18:30:05", "", "exif 2024-05-12T18:30:05 -"),
    Case("d=2024:05:12 18:30:05, sidecar=1985-07-01T12:00:00", "", "sidecar 1985-07-01T12:00:00 -"),
    Case("c=2024:05:12 18:30:05", "", "exif 2024-05-12T18:30:05 -"),
    Case("c=2024:05:12 18:30:05, c+=+02:00", "", "exif 2024-05-12T18:30:05 120"),
    Case("c=2024:05:12 18:30:05, library=2020-01-01T10:00:00", "", "library 2020-01-01T10:00:00 -"),
    // Devices.
    Case("library=2024-05-12T18:30:05.250+02:00", "", "library 2024-05-12T18:30:05.250 120"),
    Case("library=2024-05-12T18:30:05", "IMG_20200101_000000.jpg", "library 2024-05-12T18:30:05 -"),
    Case("o=2024:05:12 18:30:05, library=2024-05-12T16:30:05Z", "", "exif 2024-05-12T18:30:05 -"),
    Case("sidecar=2019-08-01T10:00:00Z", "", "sidecar 2019-08-01T10:00:00 0"),
    Case(
        "sidecar=2019-08-01T10:00:00, library=2020-08-01T10:00:00",
        "",
        "library 2020-08-01T10:00:00 -",
    ),
    Case(
        "sidecar=2019-08-01T10:00:00, unknown=2020-08-01T10:00:00",
        "",
        "library 2020-08-01T10:00:00 -",
    ),
    Case(
        "unknown=2021-08-01T10:00:00, library=2020-08-01T10:00:00",
        "",
        "library 2020-08-01T10:00:00 -",
    ),
    Case("file=2018-08-01T10:00:00", "", "file_time 2018-08-01T10:00:00 -"),
    Case("file=2018-08-01T10:00:00", "IMG-20170512-WA0001.jpg", "name 2017-05-12T12:00:00 -"),
    Case("changed=2018-08-01T10:00:00", "", "file_time 2018-08-01T10:00:00 -"),
    Case(
        "changed=2018-08-01T10:00:00, changed=2016-08-01T10:00:00",
        "",
        "file_time 2016-08-01T10:00:00 -",
    ),
    Case("changed=1970-01-01T00:00:01", "", ARRIVAL),
    // Videos.
    Case(
        "local=2024-05-12T18:30:05+0200, utc=2024-05-12T16:30:05",
        "",
        "container 2024-05-12T18:30:05 120",
    ),
    Case(
        "local=2024-05-12T18:30:05-0700, library=2024-05-13T01:30:05Z",
        "",
        "container 2024-05-12T18:30:05 -420",
    ),
    Case("local=yesterday, utc=2024-05-12T16:30:05", "", "container 2024-05-12T16:30:05 -"),
    Case("utc=2024-05-12T16:30:05", "", "container 2024-05-12T16:30:05 -"),
    Case("utc=2024-05-12T16:30:20", "VID_20240512_183005.mp4", "container 2024-05-12T18:30:05 120"),
    Case("utc=2024-05-12T16:30:05", "VID_20240512_184205.mp4", "container 2024-05-12T16:30:05 -"),
    Case("utc=2024-05-12T16:30:05", "VID_20190101_000000.mp4", "container 2024-05-12T16:30:05 -"),
    Case(
        "utc=2024-05-12T16:30:05, library=2024-05-12T18:30:05+02:00",
        "",
        "library 2024-05-12T18:30:05 120",
    ),
    // Names.
    Case("", "IMG_20240512_183005.jpg", "name 2024-05-12T18:30:05 -"),
    Case("", "PXL_20240512_163005123.jpg", "name 2024-05-12T16:30:05.123 -"),
    Case("", "IMG-20240512-WA0001.jpg", "name 2024-05-12T12:00:00 -"),
    Case("", "IMG_20310512_183005.jpg", ARRIVAL),
    Case("o=2024:05:12 18:30:05", "IMG_20200101_000000.jpg", "exif 2024-05-12T18:30:05 -"),
    Case("", "IMG_0001.JPG", ARRIVAL),
];

#[test]
fn every_time_of_the_table_is_believed_as_it_says() {
    assert!(TABLE.len() >= 60, "the table has {} cases", TABLE.len());
    let wrong: Vec<String> = TABLE
        .iter()
        .map(|Case(said, name, expected)| (believed(said, name), said, name, expected))
        .filter(|(found, _, _, expected)| found != *expected)
        .map(|(found, said, name, expected)| format!("{said} {name}: {found}, not {expected}"))
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[cfg(target_os = "linux")]
#[test]
fn the_table_is_believed_in_every_zone() {
    let test = concat!(module_path!(), "::every_time_of_the_table_is_believed_as_it_says");
    let (_, test) = test.split_once("::").expect("a module of the crate");
    for zone in ["Pacific/Kiritimati", "America/St_Johns", "Europe/Vienna"] {
        let mut program = std::process::Command::new("/proc/self/exe");
        let ran = program.args(["--exact", test]).env("TZ", zone).output().expect("this program");
        let said = String::from_utf8_lossy(&ran.stdout);
        assert!(ran.status.success() && said.contains("1 passed"), "{zone}: {said}");
    }
}

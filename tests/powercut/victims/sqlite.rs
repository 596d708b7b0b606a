//! A small program that keeps rows in SQLite and promises to have kept them, with the
//! `synchronous` setting it is told. The tests of the power-cut simulator run it under the recorder.
//!
//! `powercut-victim-sqlite SYNCHRONOUS ROOT ADDRESS ROWS`

use std::io::Write;
use std::net::TcpStream;
use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [synchronous, root, address, rows] = arguments.as_slice() else {
        return Err("usage: powercut-victim-sqlite SYNCHRONOUS ROOT ADDRESS ROWS".into());
    };
    let mut stream = TcpStream::connect(address)?;
    let database = rusqlite::Connection::open(Path::new(root).join("photosync.db"))?;
    database.pragma_update(None, "journal_mode", "WAL")?;
    database.pragma_update(None, "synchronous", synchronous)?;
    // Few pages, so that the log is copied into the database and begun anew several times.
    database.pragma_update(None, "wal_autocheckpoint", 10)?;
    database.execute_batch("CREATE TABLE kept (number INTEGER PRIMARY KEY, bytes BLOB) STRICT")?;
    for number in 0..rows.parse::<i64>()? {
        let bytes = vec![number as u8; 1_500];
        database.execute("INSERT INTO kept (number, bytes) VALUES (?1, ?2)", (number, bytes))?;
        let answer = format!("HTTP/1.1 200 OK\r\nX-Request-Id: row-{number}\r\n\r\n");
        stream.write_all(answer.as_bytes())?;
    }
    Ok(())
}

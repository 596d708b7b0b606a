//! A small program that keeps files and promises to have kept them: rightly, or wrongly in one
//! named way. The tests of the power-cut simulator run it under the recorder.
//!
//! `powercut-victim MODE ROOT ADDRESS FILES THREADS MIN_BYTES`: stages files in `ROOT/.staging`,
//! publishes them in `ROOT`, and says so on a TCP connection to ADDRESS.

use std::fs::{self, File};
use std::io::{IoSlice, Read, Write};
use std::net::TcpStream;
use std::path::Path;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What the file with this number holds; the tests compute the same.
fn content(number: usize, min_bytes: usize) -> Vec<u8> {
    let count = min_bytes + (number * 7_919) % (min_bytes * 14);
    (0..count).map(|at| (at.wrapping_mul(31) + number * 17 + 1) as u8 | 1).collect()
}

fn answer(stream: &mut TcpStream, number: usize) -> Result<(), Failure> {
    let head = format!("HTTP/1.1 201 Created\r\nX-Request-Id: file-{number}\r\n\r\n");
    if number.is_multiple_of(2) {
        stream.write_all(head.as_bytes())?;
    } else {
        let (first, second) = head.as_bytes().split_at(9);
        let sent = stream.write_vectored(&[IoSlice::new(first), IoSlice::new(second)])?;
        stream.write_all(&head.as_bytes()[sent..])?;
    }
    Ok(())
}

fn publish(root: &File, staging: &File, name: &str) -> Result<(), Failure> {
    let flags = rustix::fs::RenameFlags::NOREPLACE;
    Ok(rustix::fs::renameat_with(staging, name, root, name, flags)?)
}

fn keep(
    mode: &str,
    root: &Path,
    stream: &mut TcpStream,
    number: usize,
    min_bytes: usize,
) -> Result<(), Failure> {
    let (name, bytes) = (format!("file-{number}"), content(number, min_bytes));
    let (folder, staging) = (File::open(root)?, File::open(root.join(".staging"))?);
    let mut file = File::create_new(root.join(".staging").join(&name))?;
    let (first, second) = bytes.split_at(bytes.len() / 3);
    file.write_all(first)?;
    file.write_all(second)?;
    match mode {
        "correct" => {
            file.sync_data()?;
            publish(&folder, &staging, &name)?;
            folder.sync_all()?;
            answer(stream, number)?;
        }
        "no-file-sync" => {
            publish(&folder, &staging, &name)?;
            folder.sync_all()?;
            answer(stream, number)?;
        }
        "no-directory-sync" => {
            file.sync_all()?;
            publish(&folder, &staging, &name)?;
            answer(stream, number)?;
        }
        "wrong-directory-sync" => {
            file.sync_all()?;
            publish(&folder, &staging, &name)?;
            staging.sync_all()?;
            answer(stream, number)?;
        }
        "answer-first" => {
            publish(&folder, &staging, &name)?;
            folder.sync_all()?;
            answer(stream, number)?;
            file.sync_all()?;
        }
        "wrong-file-sync" => {
            let other = File::create(root.join(".staging/other"))?;
            other.sync_all()?;
            publish(&folder, &staging, &name)?;
            folder.sync_all()?;
            answer(stream, number)?;
        }
        "rename-first" => {
            publish(&folder, &staging, &name)?;
            folder.sync_all()?;
            file.sync_all()?;
            answer(stream, number)?;
        }
        _ => return Err(format!("no mode is called {mode}").into()),
    }
    Ok(())
}

/// Makes a file where the recorder cannot see it, and then uses it.
#[expect(unsafe_code, reason = "fopen is how a file is made without an interposable symbol")]
fn make_unseen(root: &Path) -> Result<(), Failure> {
    let path = root.join("unseen");
    let text = std::ffi::CString::new(path.as_os_str().as_encoded_bytes())?;
    // SAFETY: both strings end in zero; the stream is closed once.
    unsafe {
        let stream = libc::fopen(text.as_ptr(), c"w".as_ptr());
        if !stream.is_null() {
            libc::fclose(stream);
        }
    }
    File::options().append(true).open(path)?.write_all(b"seen?")?;
    Ok(())
}

/// Every other call that changes files, once.
fn use_every_call(root: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
    let path = |name: &str| root.join(name);
    fs::create_dir_all(path("a/b"))?;
    fs::write(path("a/one"), content(1, 900))?;
    fs::copy(path("a/one"), path("a/copy"))?;
    fs::hard_link(path("a/one"), path("a/b/linked"))?;
    symlink("../one", path("a/b/symlink"))?;
    let file = File::options().read(true).write(true).open(path("a/copy"))?;
    file.write_all_at(b"in the middle", 700)?;
    file.set_len(5_000)?;
    file.write_all_at(b"beyond", 6_000)?;
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 6_000, 3_000)?;
    let punch = rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
    rustix::fs::fallocate(&file, punch, 100, 300)?;
    fs::set_permissions(path("a/copy"), fs::Permissions::from_mode(0o640))?;
    let twin = file.try_clone()?;
    drop(file);
    twin.write_all_at(b"by a copied descriptor", 50)?;
    File::options().append(true).open(path("a/one"))?.write_all(b"at the end")?;
    fs::write(path("short"), b"long before")?;
    fs::write(path("short"), b"short")?;
    fs::rename(path("a/b"), path("moved"))?;
    fs::write(path("moved/later"), b"in a moved folder")?;
    fs::rename(path("short"), path("moved/later"))?;
    fs::create_dir(path("gone"))?;
    fs::write(path("gone/file"), b"x")?;
    fs::remove_dir_all(path("gone"))?;
    fs::create_dir(path("again"))?;
    fs::write(path("again/file"), b"perhaps with an inode number used before")?;
    let (left, right) = (File::open(path("a"))?, File::open(path("again"))?);
    rustix::fs::renameat_with(&left, "one", &right, "file", rustix::fs::RenameFlags::EXCHANGE)?;
    rustix::io::pwritev(&twin, &[IoSlice::new(b"two "), IoSlice::new(b"parts")], 10)?;
    let source = File::open(path("again/file"))?;
    std::io::copy(&mut source.take(100), &mut File::create(path("part"))?)?;
    Ok(())
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mode, root, address, files, threads, min_bytes] = arguments.as_slice() else {
        return Err("usage: powercut-victim MODE ROOT ADDRESS FILES THREADS MIN_BYTES".into());
    };
    let root = Path::new(root);
    match mode.as_str() {
        "unseen" => return make_unseen(root),
        "every-call" => return use_every_call(root),
        _ => fs::create_dir(root.join(".staging"))?,
    }
    let (files, threads): (usize, usize) = (files.parse()?, threads.parse()?);
    let min_bytes = min_bytes.parse()?;
    let work = |thread: usize| -> Result<(), Failure> {
        let mut stream = TcpStream::connect(address)?;
        for number in (thread..files).step_by(threads) {
            keep(mode, root, &mut stream, number, min_bytes)?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let running: Vec<_> =
            (0..threads).map(|thread| scope.spawn(move || work(thread))).collect();
        running.into_iter().try_for_each(|thread| match thread.join() {
            Ok(outcome) => outcome,
            Err(_) => Err("a thread panicked".into()),
        })
    })
}

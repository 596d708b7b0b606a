//! Other servers that take a file by PUT. None of them promises that an answered file survives a
//! power cut; each runs with its defaults except that it logs nothing and may write.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::Failure;
use crate::contestant::{Contestant, Server, Shelf, free_port};
use crate::http::{Answer, Connection, HttpError};
use crate::load::Uploader;
use crate::payload::Content;
use crate::process::{Running, clean_command, find_program};

/// Longest wait for a rival's first answer: 30 s.
const READY_LIMIT: Duration = Duration::from_secs(30);

/// Sends a file by PUT to the root of a server.
struct Put;

impl Uploader for Put {
    fn upload(&self, connection: &mut Connection, file: &Content) -> Result<Answer, HttpError> {
        connection.send("PUT", &format!("/{}", file.name()), "", Some(file))
    }
}

/// How to start one kind of rival on a port with a folder for files and one for its own use.
type CommandFor = fn(&Path, u16, &Path, &Path) -> Result<Command, Failure>;

/// A rival that was found on this machine.
#[derive(Debug)]
pub struct Rival {
    name: &'static str,
    program: PathBuf,
    command: CommandFor,
}

/// Every rival by name, found or not.
pub fn look_for(folder: Option<&Path>) -> Vec<(&'static str, Option<Rival>)> {
    let known: [(&'static str, &str, CommandFor); 4] = [
        ("rclone", "", rclone),
        ("nginx", "", nginx),
        ("copyparty", "venv/bin", copyparty),
        ("dufs", "bin", dufs),
    ];
    known
        .into_iter()
        .map(|(name, place, command)| {
            let beside = folder.map(|folder| folder.join(place).join(name));
            let program = beside.filter(|program| program.is_file()).or_else(|| find_program(name));
            (name, program.map(|program| Rival { name, program, command }))
        })
        .collect()
}

impl Contestant for Rival {
    fn name(&self) -> &str {
        self.name
    }

    fn is_durable(&self) -> bool {
        false
    }

    fn start(&self, home: &Path) -> Result<Server, Failure> {
        let files = home.join("files");
        let own = home.join("own");
        for folder in [&files, &own] {
            fs::create_dir_all(folder)
                .map_err(|error| format!("could not make {}: {error}", folder.display()))?;
        }
        let port = free_port()?;
        let mut command = (self.command)(&self.program, port, &files, &own)?;
        command.stdout(Stdio::null());
        let mut process = Running::start(self.name, command, &own)?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        process.wait_until(READY_LIMIT, || Connection::new(address).get("/", "").is_ok())?;
        Ok(Server { process, address, uploader: Box::new(Put), shelf: Shelf::Folder(files) })
    }
}

fn rclone(program: &Path, port: u16, files: &Path, own: &Path) -> Result<Command, Failure> {
    let mut command = clean_command(program, own);
    command.args(["serve", "webdav", "--log-level", "ERROR", "--config"]);
    command.arg(own.join("rclone.conf")).arg("--addr").arg(format!("127.0.0.1:{port}")).arg(files);
    Ok(command)
}

fn dufs(program: &Path, port: u16, files: &Path, own: &Path) -> Result<Command, Failure> {
    let mut command = clean_command(program, own);
    command.args(["--allow-all", "--log-format", "", "--bind", "127.0.0.1", "--port"]);
    command.arg(port.to_string()).arg(files);
    Ok(command)
}

fn copyparty(program: &Path, port: u16, files: &Path, own: &Path) -> Result<Command, Failure> {
    let mut command = clean_command(program, own);
    command.args(["-q", "-i", "127.0.0.1", "-p"]).arg(port.to_string());
    command.arg("-v").arg(format!("{}::A", files.display()));
    Ok(command)
}

fn nginx(program: &Path, port: u16, files: &Path, own: &Path) -> Result<Command, Failure> {
    let path = own.join("nginx.conf");
    let text = nginx_configuration(port, files, own);
    fs::File::create(&path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| format!("could not write {}: {error}", path.display()))?;
    let mut command = clean_command(program, own);
    command.arg("-p").arg(own).arg("-e").arg(own.join("nginx-error.log")).arg("-c").arg(path);
    Ok(command)
}

/// One worker per core; request bodies are spooled on the same disk and renamed, as nginx does.
fn nginx_configuration(port: u16, files: &Path, own: &Path) -> String {
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let (files, own) = (files.display(), own.display());
    format!(
        "{user}
daemon off;
worker_processes auto;
pid \"{own}/nginx.pid\";
error_log \"{own}/nginx-error.log\";
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path \"{own}/body\";
  proxy_temp_path \"{own}/proxy\";
  fastcgi_temp_path \"{own}/fastcgi\";
  uwsgi_temp_path \"{own}/uwsgi\";
  scgi_temp_path \"{own}/scgi\";
  server {{
    listen 127.0.0.1:{port};
    root \"{files}\";
    client_max_body_size 0;
    keepalive_requests 1000000;
    location / {{ dav_methods PUT; }}
  }}
}}
"
    )
}

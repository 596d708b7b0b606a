//! `login`, `pair`, `logout`, `status`.

use std::io::{BufRead, IsTerminal};

use photosync_client::backup::{LAST_COMPLETE, LAST_PATHS, open_cache};
use photosync_client::connection::{Connection, SMALL_REQUEST, now_ms, read_json};
use photosync_client::credentials::Credentials;
use photosync_client::endpoints::keep_fresh;
use photosync_client::error::{Error, Kind, Result};
use photosync_client::report::Event;
use photosync_client::signing_in::{self, First, Secret, Server, reach, read_pairing};
use photosync_client::trust::{grouped, read_fingerprint};
use photosync_client::verify;
use photosync_protocol::process::Exit;
use photosync_protocol::v2::session::Devices;
use reqwest::Method;

use super::arguments::{Device, Login, Pair};
use super::show::{bytes, files, line_to_stdout, number, wrapped};
use super::{Context, ask_on_terminal};

/// Signs in by password.
pub async fn login(context: &Context, login: Login) -> Result<Exit> {
    let server = reach_trusted(context, &login.url, &login.device).await?;
    let prompt = format!("Password for {}: ", login.email);
    let password = blocking(move || read_secret(&prompt, "password")).await?;
    let name = device_name(&login.device);
    let credentials =
        signing_in::sign_in(&server, &context.profile, &login.email, &password, &name).await?;
    greet(context, &credentials, &name)
}

/// Signs in by pairing.
pub async fn pair(context: &Context, pair: Pair) -> Result<Exit> {
    let is_qr = pair.url.trim_start().starts_with('{');
    let (url, text) = match (is_qr, pair.code) {
        (true, _) => (None, pair.url),
        (false, Some(code)) => (Some(pair.url), code),
        (false, None) => {
            let code = blocking(|| read_secret("Pairing code: ", "code")).await?;
            (Some(pair.url), code)
        }
    };
    let pairing = read_pairing(&text)?;
    let mut device = pair.device;
    device.fingerprint = device.fingerprint.or(pairing.fingerprint);
    let urls: Vec<String> = url.into_iter().chain(pairing.urls).collect();
    let server = reach_any(context, &urls, &device).await?;
    let name = device_name(&device);
    let secret: Secret = pairing.secret;
    let credentials = signing_in::pair(&server, &context.profile, secret, &name).await?;
    greet(context, &credentials, &name)
}

/// The first address that answers.
async fn reach_any(context: &Context, urls: &[String], device: &Device) -> Result<Server> {
    let mut last = Error::new(Kind::Usage, "no address of a server was named");
    for url in urls {
        match reach_trusted(context, url, device).await {
            Ok(server) => return Ok(server),
            Err(error) if error.kind == Kind::Unreachable => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

async fn reach_trusted(context: &Context, url: &str, device: &Device) -> Result<Server> {
    let known = match &device.fingerprint {
        None => None,
        Some(typed) => Some(read_fingerprint(typed).ok_or_else(|| {
            Error::new(
                Kind::Usage,
                "--fingerprint is not a fingerprint: it has 52 letters and digits",
            )
        })?),
    };
    let first = First { report: context.report.clone(), stop: context.stop.clone() };
    let before = Credentials::find_public(&context.profile).ok().flatten();
    let ask = |name: &str, shown: &str| ask_about_key(name, shown, before.as_ref());
    reach(&first, url, known, &ask).await
}

/// Asks a person about a key, unless it is the one that this device trusts already.
fn ask_about_key(name: &str, fingerprint: &str, before: Option<&Credentials>) -> Result<bool> {
    if before.is_some_and(|before| before.fingerprint == fingerprint) {
        return Ok(true);
    }
    let shown = grouped(fingerprint);
    let question = match before {
        None => format!(
            "{name} shows the key\n  {shown}\nIs this the key that the server printed when it started?"
        ),
        Some(before) => format!(
            "{name} shows the key\n  {shown}\nThis is another server than the one this computer was signed in on, \
             with the key\n  {}\nIs the first one the key that the server printed when it started?",
            grouped(&before.fingerprint)
        ),
    };
    ask_on_terminal(&question).ok_or_else(|| {
        Error::new(
            Kind::WrongServer,
            format!("nobody vouched for the key of {name}. Nothing was sent"),
        )
        .hint(format!(
            "compare it with what the server prints, then add --fingerprint {fingerprint}"
        ))
    })
}

fn greet(context: &Context, credentials: &Credentials, device_name: &str) -> Result<Exit> {
    if context.is_json {
        let line = serde_json::json!({
            "event": "signed_in",
            "url": credentials.url,
            "email": credentials.email,
            "device_id": credentials.device_id,
            "device_name": device_name,
            "fingerprint": credentials.fingerprint,
        });
        line_to_stdout(&line.to_string());
        return Ok(Exit::Success);
    }
    let (url, email) = (&credentials.url, &credentials.email);
    let text = format!("Signed in at {url} as {email} on the device {device_name}.");
    line_to_stdout(&wrapped("", &text));
    Ok(Exit::Success)
}

/// Signs out.
pub async fn logout(context: &Context) -> Result<Exit> {
    if Credentials::find_public(&context.profile)?.is_none() {
        context.report.event(&Event::Note { text: "Nobody was signed in.".into() });
        return Ok(Exit::Success);
    }
    let connected =
        Connection::signed_in(&context.profile, context.report.clone(), context.stop.clone());
    let told = match connected {
        Ok(connection) => signing_in::sign_out(&connection, &context.profile).await?,
        // Without its tokens, which a key store may hold back, there is nothing to tell the server with.
        Err(_) => {
            Credentials::remove(&context.profile)?;
            false
        }
    };
    let text = if told {
        "Signed out."
    } else {
        "Signed out here; the server could not be told and will end the session by itself."
    };
    context.report.event(&Event::Note { text: text.into() });
    Ok(Exit::Success)
}

/// Who is signed in, and what is safe.
pub async fn status(context: &Context) -> Result<Exit> {
    let credentials = Credentials::get(&context.profile)?;
    let cache = open_cache(&context.profile).await?;
    let counts = cache.counts()?;
    let receipts = cache.count_receipts(&credentials.account_uuid)?;
    let copies = verify::second_copies(&cache)?;
    let last: Option<i64> = cache.find_fact(LAST_COMPLETE)?.and_then(|text| text.parse().ok());
    let paths: Vec<String> = cache
        .find_fact(LAST_PATHS)?
        .map(|text| text.lines().map(str::to_owned).collect())
        .unwrap_or_default();
    let connection =
        Connection::signed_in(&context.profile, context.report.clone(), context.stop.clone())?;
    let request = connection.request(Method::GET, "/devices").timeout(SMALL_REQUEST);
    let (device, problem) = match connection.attempt(request).await {
        Ok(answer) => {
            let devices: Devices = read_json(answer).await?;
            keep_fresh(&connection, &context.profile).await;
            (devices.devices.into_iter().find(|device| device.this), None)
        }
        Err(failure) => (None, Some(failure.error)),
    };
    if context.is_json {
        let line = serde_json::json!({
            "event": "status",
            "url": credentials.url,
            "reached_at": connection.base(),
            "email": credentials.email,
            "device_id": credentials.device_id,
            "fingerprint": credentials.fingerprint,
            "credentials": if credentials.key_store_entry.is_some() { "key_store" } else { "file" },
            "profile": context.profile.folder(),
            "counts": counts,
            "receipts": receipts,
            "second_copies": copies.map(|(count, _)| count),
            "second_copies_since_ms": copies.and_then(|(_, since_ms)| since_ms),
            "last_complete_ms": last,
            "paths": paths,
            "device": device,
            "problem": problem.as_ref().map(|error| &error.message),
        });
        line_to_stdout(&line.to_string());
    } else {
        let row = |name: &str, value: &str| line_to_stdout(&wrapped(&format!("{name:<14}"), value));
        row("Server", &credentials.url);
        if connection.base() != credentials.url {
            row("Reached at", &connection.base());
        }
        row("Account", &credentials.email);
        row("Credentials", &place(context, &credentials));
        row("Profile", &context.profile.folder().to_string_lossy());
        if let Some(device) = &device {
            row("Device", &device.name);
        }
        row("Folders", if paths.is_empty() { "none backed up yet" } else { &paths[0] });
        paths.iter().skip(1).for_each(|path| row("", path));
        row("Files", &format!("{}, {}", files(counts.files), bytes(counts.bytes)));
        row(
            "On the server",
            &format!("{} of {} different files", number(counts.settled), number(counts.digests)),
        );
        row("Receipts", &number(receipts));
        if let Some((count, since_ms)) = copies {
            let since = since_ms.map_or(String::new(), |at| format!(", found there {}", ago(at)));
            row("Second copies", &format!("{}{since}", number(count)));
        }
        row("Last complete", &last.map_or("never".to_owned(), ago));
        if device.is_some_and(|device| device.overdue) {
            row("Overdue", "the last complete backup is too long ago");
        }
        if let Some(error) = &problem {
            row("Problem", &error.message);
        }
    }
    Ok(problem.map_or(Exit::Success, |error| error.kind.exit()))
}

/// Where the tokens lie, for people.
fn place(context: &Context, credentials: &Credentials) -> String {
    match &credentials.key_store_entry {
        Some(entry) => format!("key store of the system, as photosync: {entry}"),
        None => {
            let why = match context.profile.uses_key_store() {
                true => "no key store at sign-in",
                false => "PHOTOSYNC_CLIENT_KEYSTORE is off",
            };
            format!("file {} ({why})", context.profile.credentials_file().display())
        }
    }
}

/// `3 days ago`.
pub(super) fn ago(then_ms: i64) -> String {
    let seconds = (now_ms().saturating_sub(then_ms) / 1000).max(0);
    let (count, unit) = match seconds {
        0..60 => return "just now".to_owned(),
        60..3600 => (seconds / 60, "minute"),
        3600..86_400 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{} ago", if count == 1 { "" } else { "s" })
}

/// A password or code: asked for on a terminal, else the first line of standard input.
pub(super) fn read_secret(prompt: &str, what: &str) -> Result<String> {
    let failed = |cause: std::io::Error| match cause.kind() {
        std::io::ErrorKind::Interrupted => Error::interrupted().hint("nobody was signed in"),
        _ => Error::new(Kind::Usage, format!("could not read the {what}: {cause}")),
    };
    let secret = if std::io::stdin().is_terminal() {
        rpassword::prompt_password(prompt).map_err(failed)?
    } else {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).map_err(failed)?;
        line.trim_end_matches(['\r', '\n']).to_owned()
    };
    if secret.is_empty() {
        return Err(Error::new(Kind::Usage, format!("there is no {what} on standard input")));
    }
    Ok(secret)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|cause| Error::unexpected(format!("a task ended unexpectedly: {cause}")))?
}

fn device_name(device: &Device) -> String {
    if let Some(name) = &device.device_name {
        return name.clone();
    }
    let file = std::fs::read_to_string("/etc/hostname").ok();
    let set = |name: &str| std::env::var(name).ok();
    [file, set("COMPUTERNAME"), set("HOSTNAME")]
        .into_iter()
        .flatten()
        .map(|name| name.trim().to_owned())
        .find(|name| !name.is_empty())
        .unwrap_or_else(|| "computer".to_owned())
}

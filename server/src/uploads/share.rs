//! Photos that another app shares with the installed web app while no service worker runs that would take them: one form,
//! many files.
//!
//! Each file is an upload of its own, stored when its last byte is here, whatever becomes of the others. The answer leads a
//! browser to a page that says what arrived.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use photosync_protocol::error::ErrorCode;
use photosync_protocol::names::parse_wire_name;

use super::{Arrived, Finished, Origin};
use crate::accounts::native::Member;
use crate::accounts::web::Sharer;
use crate::boot::App;
use crate::error::{Error, Result};
use crate::http::body::drain;
use crate::http::form::{Form, Part};

/// Name of the form's parts that are files; what else is shared, as a title, is not looked at.
const FILES: &[u8] = b"files";
/// Files of one form. More are read and refused: phones let people choose some hundreds.
const MAX_FILES: u32 = 1000;
/// What a file is called that came without a name.
const NAMELESS: &[u8] = b"Shared photo";

/// What became of the files of a form.
#[derive(Debug, Default, PartialEq, Eq)]
struct Taken {
    stored: u32,
    known: u32,
    refused: u32,
    /// Why the first was refused.
    why: Option<ErrorCode>,
}

impl Taken {
    fn refuse(&mut self, error: &Error) {
        self.refused += 1;
        self.why.get_or_insert(error.code);
    }

    /// The page that says it.
    fn address(&self) -> String {
        let Self { stored, known, refused, why } = self;
        let why = why.map_or("", ErrorCode::as_str);
        format!("/?shared={stored}&known={known}&refused={refused}&why={why}")
    }
}

/// `POST /share-target`: where the manifest of the web app sends what is shared (`web/src/lib/pwa/manifest.ts`).
pub async fn take_in(
    State(app): State<App>,
    sharer: Result<Sharer>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response> {
    let member = match sharer {
        Ok(Sharer(member)) => member,
        Err(error) => {
            drain(body).await;
            return match error.code {
                ErrorCode::Unauthorised => Ok(see_other("/sign-in?shared=unknown")),
                _ => Err(error),
            };
        }
    };
    let mut taken = Taken::default();
    if let Err(error) = read_form(&app, &member, &headers, body, &mut taken).await {
        // The form itself broke: what was complete before is stored, and the person is told both.
        tracing::info!(account = %member.account, code = error.code.as_str(), "a form that shares photos broke off");
        taken.refuse(&error);
    }
    Ok(see_other(&taken.address()))
}

/// Takes in the files of a form one after the other. An error is one of the form; those of files are counted.
async fn read_form(
    app: &App,
    member: &Member,
    headers: &HeaderMap,
    body: Body,
    taken: &mut Taken,
) -> Result<()> {
    let mut form = Form::open(app, headers, body).await?;
    let mut count = 0;
    while let Some(mut part) = form.next().await? {
        if part.name != FILES {
            part.skip(app).await?;
            continue;
        }
        count += 1;
        let finished = if count > MAX_FILES {
            let message = format!("more than {MAX_FILES} files are shared at once");
            Err(Error::new(ErrorCode::TooLarge, message))
        } else {
            take_one(app, member, &mut part).await
        };
        match finished {
            Ok(Finished { duplicate: false, .. }) => {
                app.metrics.stored.inc();
                taken.stored += 1;
            }
            Ok(Finished { duplicate: true, .. }) => {
                app.metrics.duplicates.inc();
                taken.known += 1;
            }
            Err(error) if is_of_the_form(&error) => return Err(error),
            Err(error) => {
                taken.refuse(&error);
                part.skip(app).await?;
            }
        }
    }
    Ok(())
}

async fn take_one(app: &App, member: &Member, part: &mut Part<'_>) -> Result<Finished> {
    let sent: &[u8] = if part.file_name.is_empty() { NAMELESS } else { &part.file_name };
    let name =
        parse_wire_name(sent).map_err(|error| Error::new(ErrorCode::BadName, error.to_string()))?;
    // How long one part will be, no form says.
    let mut stage = super::begin(app, member.account, 0).await?;
    while let Some(piece) = part.chunk(app).await? {
        stage.push(piece).await?;
    }
    let staged = stage.seal().await?;
    let origin = Origin { device_id: Some(member.device_id.clone()), ..Origin::default() };
    let account = member.account;
    super::finish(app, Arrived { account, name, staged, arrived_at_ms: None, origin }).await
}

/// Whether nothing more of a form can be read.
fn is_of_the_form(error: &Error) -> bool {
    matches!(error.code, ErrorCode::BodyIncomplete | ErrorCode::Timeout)
}

fn see_other(address: &str) -> Response {
    let described = [(header::LOCATION, address), (header::CACHE_CONTROL, "no-store")];
    (StatusCode::SEE_OTHER, described).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_told_how_many_came_and_why_the_first_was_refused() {
        let mut taken = Taken { stored: 2, known: 1, ..Taken::default() };
        taken.refuse(&Error::new(ErrorCode::EmptyFile, "empty"));
        taken.refuse(&Error::storage_full(None));
        assert_eq!(taken.address(), "/?shared=2&known=1&refused=2&why=empty_file");
        assert_eq!(Taken::default().address(), "/?shared=0&known=0&refused=0&why=");
    }
}

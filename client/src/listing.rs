//! What the server holds, page by page.

use photosync_protocol::v2::{AssetPage, AssetRow, MAX_PAGE_ROWS};
use reqwest::Method;

use crate::connection::{Connection, read_json};
use crate::error::{Error, Kind, Result};

/// Reads the whole listing, one page in memory at a time.
pub struct Pages<'a> {
    connection: &'a Connection,
    device: Option<String>,
    after: Option<String>,
    is_done: bool,
}

impl<'a> Pages<'a> {
    /// From the oldest asset on, with the places of this device or of another one of its account, by id or name.
    pub fn new(connection: &'a Connection, device: Option<&str>) -> Self {
        let device = device.map(str::to_owned);
        Self { connection, device, after: None, is_done: false }
    }

    /// The next page; `None` after the last.
    pub async fn next(&mut self) -> Result<Option<AssetPage>> {
        if self.is_done {
            return Ok(None);
        }
        let after = self.after.as_deref().map(|after| format!("&after={}", encoded(after)));
        let device = self.device.as_deref().map(|device| format!("&device={}", encoded(device)));
        let route = format!(
            "/library/assets?limit={MAX_PAGE_ROWS}{}{}",
            device.as_deref().unwrap_or_default(),
            after.as_deref().unwrap_or_default()
        );
        let build = |connection: &Connection| connection.request(Method::GET, &route);
        let page: AssetPage = read_json(self.connection.call(build).await?).await?;
        let is_last = page.next.is_none() || page.next == self.after;
        self.is_done = is_last;
        self.after.clone_from(&page.next);
        Ok(Some(page))
    }
}

/// Finds assets by id, digest, or listed name. Several can only be found by a name in different spellings.
pub async fn find(connection: &Connection, wanted: &str) -> Result<AssetRow> {
    if let Some(row) = find_by_id(connection, wanted).await? {
        return Ok(row);
    }
    let mut pages = Pages::new(connection, None);
    while let Some(page) = pages.next().await? {
        let matches =
            |row: &AssetRow| row.name == wanted || row.digest.to_string() == wanted.to_lowercase();
        if let Some(row) = page.assets.into_iter().find(matches) {
            return Ok(row);
        }
    }
    Err(Error::new(Kind::File, format!("there is no photo named {wanted} on the server"))
        .coded("not_found")
        .hint("photosync list shows all names"))
}

async fn find_by_id(connection: &Connection, wanted: &str) -> Result<Option<AssetRow>> {
    let route = format!("/library/assets/{}", encoded(wanted));
    let build = |connection: &Connection| connection.request(Method::GET, &route);
    match connection.call(build).await {
        Ok(answer) => Ok(Some(read_json(answer).await?)),
        Err(error) if matches!(error.code, "not_found" | "bad_request") => Ok(None),
        Err(error) => Err(error),
    }
}

fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

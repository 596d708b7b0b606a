//! Films of the library: which browsers play them, the version that all of them play, and the moving halves of pictures.

use serde::{Deserialize, Serialize};

/// The moving half of a Live or Motion Photo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Moving {
    /// Id of its asset.
    pub id: String,
    /// Listed name.
    pub name: String,
    /// Media type of its bytes.
    pub media_type: String,
    /// Path of its bytes on this server: an original of its own, or a part of the still's.
    #[serde(default)]
    pub path: String,
    /// Which browsers play it; absent: nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plays: Option<Plays>,
}

/// Which browsers play a film as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Plays {
    /// All of them.
    Everywhere,
    /// Some, on some machines: ask the browser.
    Some,
    /// None.
    Nowhere,
}

/// What there is of a film in a version that every browser plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PlayableState {
    /// Nobody asked for it.
    None,
    /// Others come first.
    Waiting,
    /// It is being made.
    Making,
    /// It is the rendition `playable`.
    Ready,
    /// It could not be made; asking again tries again where that can help.
    Failed,
    /// This server makes none.
    Off,
}

/// `GET` and `POST /api/v2/library/assets/{id}/playable`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Playable {
    /// How far it is.
    pub state: PlayableState,
    /// While it is made: how much of the film, 0 to 1; absent: nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<f64>,
    /// Class of the failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

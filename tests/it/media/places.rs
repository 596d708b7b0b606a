//! Names of the places where pictures were taken.

use super::Album;
use super::files::{Exif, jpeg, with_exif};
use crate::sync::json_of;

#[test]
fn a_picture_tells_the_town_it_was_taken_in_and_is_found_by_town_city_and_country() {
    let album = Album::new(&[]);
    let taken_at = |seed, latitude, longitude| {
        with_exif(&jpeg(64, 64, seed), &Exif::new().position(latitude, longitude))
    };
    let town = album.keep("a.jpg", &taken_at(41, 38.7925, -9.1838));
    let sea = album.keep("b.jpg", &taken_at(42, 38.0, -30.0));
    for id in [&town, &sea] {
        album.looked_at(id);
    }
    let details = |id: &str| json_of(&album.device.get(&format!("/library/assets/{id}/details")));
    let shown = details(&town);
    assert_eq!(shown["place_name"]["name"], "Odivelas", "{shown}");
    assert_eq!(shown["place_name"]["country"], "PT");
    let shown = details(&sea);
    assert!(shown["place"].is_object() && shown["place_name"].is_null(), "{shown}");
    for words in ["odivelas", "lisb", "portugal", "Lissabon%20Portugal", "lisbon%20portug"] {
        let found = json_of(&album.device.get(&format!("/library/search?q={words}")));
        let ids: Vec<_> =
            found["tiles"].as_array().expect("tiles").iter().map(|t| &t["id"]).collect();
        let expected = if words.starts_with("Lissabon") { vec![] } else { vec![town.as_str()] };
        assert_eq!(ids, expected, "{words}");
    }
}

//! What people call the place of a picture: the town or village by whose name they would tell of it, out of those with at
//! least 1,000 inhabitants. The table is made when the web app is built (`web/scripts/make-places.mjs`, which describes it)
//! and lies in the program: nothing is asked of anybody else, and it takes no memory but that of the file. Pure.
//!
//! Nearest is not what people mean: somebody in the middle of a city stands next to the centre of a village that it has
//! swallowed. So a town reaches as far as its inhabitants need room, and the one into which a point lies deepest counts.

use super::words::fold;

static TABLE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/places.bin"));

const MAGIC: &[u8] = b"PSPLACE1";
const HEAD_BYTES: usize = 20;
const RECORD_BYTES: usize = 16;
/// Kilometres of a degree of latitude.
const DEGREE_KM: f64 = 111.2;
/// From farther away than this outside of a town nobody tells its name.
const FAR_KM: f64 = 30.0;
/// The largest town reaches 49 km: nothing farther north or south than this is near.
const WINDOW_E5: i64 = 75_000;
/// A picture from within so many times the reach of a city is also found by the city's name …
const AROUND: f64 = 3.0;
/// … if it has so many times the inhabitants of the place itself.
const LARGER: f64 = 5.0;

/// A name for a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named {
    /// The town or village, in English where it has an English name.
    pub name: &'static str,
    /// Its country, by ISO 3166-1.
    pub country: &'static str,
    /// The city that it is a part of for most people elsewhere.
    city: Option<&'static str>,
    country_number: usize,
}

/// The place of a point in ten-millionths of a degree; `None` in the wild, at sea, and in a program without the table.
pub fn find(latitude_e7: i64, longitude_e7: i64) -> Option<Named> {
    Table::open(TABLE)?.find(latitude_e7 / 100, longitude_e7 / 100)
}

/// The words by which a picture from there is found: place, city, and the country in the languages of the web app.
pub fn words(place: &Named) -> Vec<String> {
    let mut found = fold(place.name);
    found.extend(fold(place.city.unwrap_or_default()));
    if let Some(table) = Table::open(TABLE) {
        found.extend(table.country(place.country_number).1.iter().flat_map(|name| fold(name)));
    }
    found
}

/// The parts of the file.
#[derive(Clone, Copy)]
struct Table<'a> {
    countries: &'a [u8],
    records: &'a [u8],
    names: &'a [u8],
}

/// A line of the table.
#[derive(Clone, Copy)]
struct Town<'a> {
    latitude_e5: i64,
    longitude_e5: i64,
    inhabitants: f64,
    country_number: usize,
    name: &'a str,
}

impl Town<'_> {
    /// How far its centre is, in kilometres. Flat: right to a percent over such distances.
    fn distance_km(&self, latitude_e5: i64, longitude_e5: i64) -> f64 {
        let north = (self.latitude_e5 - latitude_e5) as f64 / 1e5 * DEGREE_KM;
        let apart = (self.longitude_e5 - longitude_e5).rem_euclid(36_000_000);
        let apart = apart.min(36_000_000 - apart) as f64 / 1e5;
        let east = apart * DEGREE_KM * (latitude_e5 as f64 / 1e5).to_radians().cos();
        north.hypot(east)
    }

    /// How far it reaches, in kilometres: a million people live within 10 km, 10,000 within one.
    fn reach_km(&self) -> f64 {
        self.inhabitants.sqrt() / 100.0
    }
}

impl<'a> Table<'a> {
    fn open(bytes: &'a [u8]) -> Option<Self> {
        let number = |at: usize| -> Option<usize> {
            let bytes = bytes.get(at..at + 4)?.try_into().ok()?;
            usize::try_from(u32::from_le_bytes(bytes)).ok()
        };
        if !bytes.starts_with(MAGIC) {
            return None;
        }
        let names_at = bytes.len().checked_sub(number(16)?)?;
        let records_at = names_at.checked_sub(number(8)?.checked_mul(RECORD_BYTES)?)?;
        Some(Self {
            countries: bytes.get(HEAD_BYTES..records_at)?,
            records: &bytes[records_at..names_at],
            names: &bytes[names_at..],
        })
    }

    fn len(&self) -> usize {
        self.records.len() / RECORD_BYTES
    }

    fn latitude_e5(&self, index: usize) -> i64 {
        let at = index * RECORD_BYTES;
        let bytes = self.records[at..at + 4].try_into().unwrap_or_default();
        i64::from(i32::from_le_bytes(bytes))
    }

    fn town(&self, index: usize) -> Town<'a> {
        let record = &self.records[index * RECORD_BYTES..(index + 1) * RECORD_BYTES];
        let four = |at: usize| -> [u8; 4] { record[at..at + 4].try_into().unwrap_or_default() };
        let name_at = u32::from_le_bytes(four(8)) as usize;
        let name = self.names.get(name_at..name_at + usize::from(record[15]));
        Town {
            latitude_e5: i64::from(i32::from_le_bytes(four(0))),
            longitude_e5: i64::from(i32::from_le_bytes(four(4))),
            inhabitants: f64::from(u16::from_le_bytes([record[12], record[13]])) * 100.0,
            country_number: usize::from(record[14]),
            name: name.and_then(|name| std::str::from_utf8(name).ok()).unwrap_or_default(),
        }
    }

    /// Code and names of a country.
    fn country(&self, number: usize) -> (&'a str, [&'a str; 2]) {
        let mut left = self.countries;
        let mut text = |length: Option<usize>| -> &'a str {
            let (length, skipped) = match length {
                Some(length) => (length, 0),
                None => (left.first().copied().map_or(0, usize::from), 1),
            };
            let Some(found) = left.get(skipped..skipped + length) else { return "" };
            left = &left[skipped + length..];
            std::str::from_utf8(found).unwrap_or_default()
        };
        for _ in 0..number {
            text(Some(2));
            text(None);
            text(None);
        }
        (text(Some(2)), [text(None), text(None)])
    }

    /// First record that is not south of a latitude.
    fn first_at(&self, latitude_e5: i64) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.latitude_e5(middle) < latitude_e5 {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}

impl Table<'static> {
    fn find(&self, latitude_e5: i64, longitude_e5: i64) -> Option<Named> {
        let window = self.first_at(latitude_e5 - WINDOW_E5)..self.first_at(latitude_e5 + WINDOW_E5);
        let near = || {
            window.clone().map(|index| {
                let town = self.town(index);
                (town.distance_km(latitude_e5, longitude_e5), town)
            })
        };
        let outside = |(distance_km, town): &(f64, Town<'_>)| distance_km - town.reach_km();
        let (_, town) = near()
            .filter(|found| outside(found) <= FAR_KM)
            .min_by(|one, other| outside(one).total_cmp(&outside(other)))?;
        let city = near()
            .filter(|(distance_km, city)| {
                *distance_km <= city.reach_km() * AROUND
                    && city.inhabitants >= town.inhabitants * LARGER
                    && city.country_number == town.country_number
            })
            .max_by(|one, other| one.1.inhabitants.total_cmp(&other.1.inhabitants));
        Some(Named {
            name: town.name,
            country: self.country(town.country_number).0,
            city: city.map(|(_, city)| city.name),
            country_number: town.country_number,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Name, longitude and latitude in degrees, hundreds of inhabitants, country.
    type Line = (&'static str, f64, f64, u16, u8);

    fn table(lines: &[Line]) -> Table<'static> {
        let mut lines = lines.to_vec();
        lines.sort_by(|one, other| one.2.total_cmp(&other.2));
        let countries: &[u8] = b"DE\x07Germany\x0bDeutschlandFJ\x04Fiji\x07Fidschi";
        let names: String = lines.iter().map(|line| line.0).collect();
        let mut bytes = MAGIC.to_vec();
        for number in [lines.len(), 2, names.len()] {
            bytes.extend(u32::try_from(number).unwrap().to_le_bytes());
        }
        bytes.extend(countries);
        let mut name_at = 0_u32;
        for (name, longitude, latitude, inhabitants, country) in lines {
            for degrees in [latitude, longitude] {
                bytes.extend(((degrees * 1e5).round() as i32).to_le_bytes());
            }
            bytes.extend(name_at.to_le_bytes());
            bytes.extend(inhabitants.to_le_bytes());
            bytes.extend([country, u8::try_from(name.len()).unwrap()]);
            name_at += u32::try_from(name.len()).unwrap();
        }
        bytes.extend(names.as_bytes());
        Table::open(bytes.leak()).unwrap()
    }

    fn name_at(table: &Table<'static>, latitude: f64, longitude: f64) -> Option<&'static str> {
        table.find((latitude * 1e5) as i64, (longitude * 1e5) as i64).map(|found| found.name)
    }

    const AROUND_A_CITY: [Line; 3] = [
        ("City", 10.0, 50.0, 10_000, 0),
        ("Swallowed", 10.03, 50.0, 20, 0),
        ("Suburb", 10.0, 50.12, 600, 0),
    ];

    #[test]
    fn in_a_city_its_name_counts_and_not_that_of_a_village_it_has_swallowed() {
        let table = table(&AROUND_A_CITY);
        assert_eq!(name_at(&table, 50.0, 10.029), Some("City"));
        let suburb = table.find(5_012_000, 1_000_000).unwrap();
        assert_eq!((suburb.name, suburb.city, suburb.country), ("Suburb", Some("City"), "DE"));
        assert_eq!(table.find(5_000_000, 1_000_000).unwrap().city, None, "the city itself");
    }

    #[test]
    fn the_wild_and_the_sea_have_no_name() {
        let table = table(&AROUND_A_CITY);
        assert_eq!(name_at(&table, 50.37, 10.0), Some("Suburb"), "28 km north of it");
        assert_eq!(name_at(&table, 50.5, 10.0), None);
        assert_eq!(name_at(&table, -50.0, 10.0), None);
        assert_eq!(name_at(&table, 90.0, 0.0), None);
        assert!(Table::open(b"").is_none() && Table::open(b"PSPLACE1").is_none());
    }

    #[test]
    fn the_date_line_is_no_border() {
        let table =
            table(&[("Taveuni", -179.99, -16.8, 90, 1), ("Elsewhere", 179.5, -16.8, 10, 1)]);
        assert_eq!(name_at(&table, -16.8, 179.98), Some("Taveuni"));
        assert_eq!(table.country(1), ("FJ", ["Fiji", "Fidschi"]));
    }

    #[test]
    fn the_table_of_this_build_knows_the_world() {
        // A build without the web app has none.
        let Some(table) = Table::open(TABLE) else { return };
        assert!(table.len() > 100_000, "{}", table.len());
        let places = [
            (38.7139, -9.1394, "Lisbon", "PT"),
            (48.1374, 11.5755, "Munich", "DE"),
            (35.6586, 139.7454, "Tokyo", "JP"),
            (46.5936, 7.9093, "Lauterbrunnen", "CH"),
            (-33.8568, 151.2153, "Sydney", "AU"),
        ];
        for (latitude, longitude, name, country) in places {
            let found = find((latitude * 1e7) as i64, (longitude * 1e7) as i64).unwrap();
            assert_eq!((found.name, found.country), (name, country));
        }
        let words = words(&find(387_139_000, -91_394_000).unwrap());
        assert!(words.contains(&"portugal".to_owned()), "{words:?}");
        for index in 0..table.len() {
            let town = table.town(index);
            assert!(!town.name.is_empty() && table.country(town.country_number).0.len() == 2);
            assert!(
                town.reach_km() + FAR_KM <= WINDOW_E5 as f64 / 1e5 * DEGREE_KM,
                "{}",
                town.name
            );
        }
        assert_eq!(find(0, -1_500_000_000), None, "the middle of the Pacific");
    }
}

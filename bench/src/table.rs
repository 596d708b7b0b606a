//! Aligned plain-text tables: first column left, the others right.

/// A table that is printed once complete.
#[derive(Debug)]
pub struct Table {
    title: String,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with its heading row.
    pub fn new(title: impl Into<String>, heading: &[&str]) -> Self {
        let heading = heading.iter().map(|cell| (*cell).to_owned()).collect();
        Self { title: title.into(), rows: vec![heading] }
    }

    /// Adds a row; missing cells stay blank.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The table as text, with a blank line before it.
    pub fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(|column| self.width(column)).collect();
        let mut text = format!("\n{}\n", self.title);
        for row in &self.rows {
            let cells: Vec<String> = widths
                .iter()
                .enumerate()
                .map(|(column, width)| {
                    let cell = row.get(column).map_or("", String::as_str);
                    if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
                })
                .collect();
            text.push_str("  ");
            text.push_str(cells.join("  ").trim_end());
            text.push('\n');
        }
        text
    }

    /// Prints the table on stdout.
    pub fn print(&self) {
        print!("{}", self.render());
    }

    fn width(&self, column: usize) -> usize {
        self.rows
            .iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    }
}

/// Bytes as MiB with one decimal.
pub fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / (1024.0 * 1024.0))
}

/// A size as people write it: 20 KB, 3 MiB, 1 GiB.
pub fn size(bytes: u64) -> String {
    const KIB: u64 = 1024;
    match bytes {
        _ if bytes.is_multiple_of(KIB * KIB * KIB) => format!("{} GiB", bytes / (KIB * KIB * KIB)),
        _ if bytes.is_multiple_of(KIB * KIB) => format!("{} MiB", bytes / (KIB * KIB)),
        _ if bytes.is_multiple_of(1000) => format!("{} KB", bytes / 1000),
        _ => format!("{bytes} B"),
    }
}

/// A figure with three significant digits or none after the point above 100.
pub fn figure(value: f64) -> String {
    match value {
        _ if value >= 100.0 => format!("{value:.0}"),
        _ if value >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_whatever_their_cells_hold() {
        let mut table = Table::new("t", &["name", "n"]);
        table.row(["a".into(), "1000".into()]);
        assert_eq!(table.render(), "\nt\n  name     n\n  a     1000\n");
    }

    #[test]
    fn sizes_are_written_as_people_write_them() {
        assert_eq!(size(3 * 1024 * 1024), "3 MiB");
        assert_eq!(size(20_000), "20 KB");
    }
}

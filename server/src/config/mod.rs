//! Settings, resolved once: flags > environment > credentials > file > defaults. Nothing below `boot` reads any of them again.
//!
//! Everything comes from the one table in `protocol::config_names`, so that flag, variable, file key, example and
//! documentation cannot differ.

mod acme;
mod resolve;
mod typed;

pub use acme::{AcmeConfig, Challenge};
pub use resolve::{ConfigError, Origin, Resolved, Sources, resolve};
pub use typed::{Backups, Config, LogFormat, Plans, RegistrationMode, TlsConfig};

use photosync_protocol::config_names::SETTINGS;

/// A commented configuration file with every setting at its default.
pub fn example() -> String {
    let mut text = String::from(
        "# Configuration of photosync-server. Every line shows a default; remove the # in front to change it.\n\
         # Flags and environment variables win over this file: `photosync-server config show` says which did.\n",
    );
    let mut section = "";
    for setting in SETTINGS {
        if setting.section != section {
            section = setting.section;
            text += &format!("\n[{section}]\n");
        }
        text += &format!("# {}\n", setting.help);
        if setting.default.is_empty() {
            text += &format!("# {} = \"\"\n", setting.key);
        } else if setting.default.parse::<i64>().is_ok()
            || matches!(setting.default, "true" | "false")
        {
            text += &format!("# {} = {}\n", setting.key, setting.default);
        } else {
            text += &format!("# {} = \"{}\"\n", setting.key, setting.default);
        }
    }
    text
}

/// The CONFIG page of the documentation, as Markdown.
pub fn reference_page() -> String {
    let mut text = String::from(
        "# Settings\n\n\
         Made from the table in `protocol/src/config_names.rs` by `photosync-server config reference`; a test \
         compares them.\n\n\
         Flags win over variables, variables over the file, the file over defaults. The file is `--config FILE`, \
         else `<data>/photosync.toml`, else `/etc/photosync/photosync.toml`; the data folder is `--data DIR` or \
         `PHOTOSYNC_DATA_DIR`. A secret can also be read from a file: add `_FILE` to its variable. A service manager \
         can hand secrets over as credentials (OPERATIONS.md, *Secrets*); they come after variables and before the \
         file.\n\n\
         | key | flag | variable | default | meaning |\n| --- | --- | --- | --- | --- |\n",
    );
    for setting in SETTINGS {
        let mut variables = format!("`{}`", setting.variable());
        for alias in setting.aliases {
            variables += &format!(", `{alias}`");
        }
        let default = if setting.default.is_empty() {
            "–".to_owned()
        } else {
            format!("`{}`", setting.default)
        };
        text += &format!(
            "| `{}` | `--{}` | {variables} | {default} | {} |\n",
            setting.name(),
            setting.flag(),
            setting.help
        );
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_of_settings_is_the_one_in_the_documentation() {
        let page = include_str!("../../../docs/CONFIG.md");
        assert!(
            page == super::reference_page(),
            "run `photosync-server config reference > docs/CONFIG.md`"
        );
    }

    #[test]
    fn the_example_file_is_a_working_configuration() {
        let text = super::example();
        let uncommented: String = text
            .lines()
            .map(|line| {
                line.strip_prefix("# ")
                    .filter(|l| l.contains(" = ") && !l.ends_with('.'))
                    .unwrap_or(line)
            })
            .map(|l| format!("{l}\n"))
            .collect();
        let file = Some(("example.toml".into(), uncommented));
        let resolved = super::resolve(&super::Sources { file, ..super::Sources::default() });
        assert!(resolved.is_ok(), "{resolved:?}");
    }
}

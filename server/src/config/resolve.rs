//! Which value of a setting counts, and where it came from.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use photosync_protocol::config_names::{
    CONFIG_VARIABLE, DATA_DIR_VARIABLE, RETIRED_VARIABLES, SETTINGS, Setting,
};
use photosync_protocol::v2::admin::{SettingOrigin, SettingShown};

/// Everything a setting may come from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// `(section.key, value)` from the command line.
    pub flags: Vec<(String, String)>,
    /// The environment.
    pub environment: Vec<(String, String)>,
    /// `(section.key, value)` handed over by a service manager.
    pub credentials: Vec<(String, String)>,
    /// The configuration file with its text, if there is one.
    pub file: Option<(PathBuf, String)>,
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The configuration file.
    File(PathBuf),
    /// A credential of the service.
    Credential,
    /// This variable.
    Variable(String),
    /// The command line.
    Flag,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Credential => f.write_str("credential"),
            Self::Variable(name) => f.write_str(name),
            Self::Flag => f.write_str("flag"),
        }
    }
}

/// A configuration that cannot be used: one sentence that says which setting and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(pub String);

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

/// Every setting with its value and origin, by `section.key`.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// Values by name, in the order of names.
    pub values: BTreeMap<String, (String, Origin)>,
    /// What to tell the operator once.
    pub warnings: Vec<String>,
}

impl Resolved {
    /// The value of `name`; empty if it is not set.
    pub fn value(&self, name: &str) -> &str {
        self.values.get(name).map_or("", |(value, _)| value)
    }

    /// Whether somebody set `name`.
    pub fn is_set(&self, name: &str) -> bool {
        self.values.get(name).is_some_and(|(_, origin)| *origin != Origin::Default)
    }

    /// All settings as a table for people; secrets are not shown.
    pub fn show(&self) -> String {
        let mut text = String::new();
        for setting in SETTINGS {
            let name = setting.name();
            let Some((value, origin)) = self.values.get(&name) else { continue };
            let shown = match (setting.secret, value.is_empty()) {
                (_, true) => "(not set)",
                (true, false) => "(secret)",
                (false, false) => value,
            };
            text += &format!("{name:<32} {shown:<40} {origin}\n");
        }
        text
    }

    /// The same for a page. No secret is in it.
    pub fn shown(&self) -> Vec<SettingShown> {
        let shown = |setting: &Setting| {
            let name = setting.name();
            let (value, origin) = self.values.get(&name)?;
            let (origin, origin_name) = match origin {
                Origin::Default => (SettingOrigin::Default, None),
                Origin::File(path) => (SettingOrigin::File, Some(path.display().to_string())),
                Origin::Credential => (SettingOrigin::Credential, None),
                Origin::Variable(variable) => (SettingOrigin::Variable, Some(variable.clone())),
                Origin::Flag => (SettingOrigin::Flag, None),
            };
            Some(SettingShown {
                value: Some(value.clone()).filter(|value| !setting.secret && !value.is_empty()),
                is_secret: setting.secret,
                is_set: !value.is_empty(),
                origin,
                origin_name,
                variable: setting.variable(),
                help: setting.help.to_owned(),
                name,
            })
        };
        SETTINGS.iter().filter_map(shown).collect()
    }
}

/// Resolves all settings. Unknown keys of file and flags are errors; unknown variables are warnings.
pub fn resolve(sources: &Sources) -> Result<Resolved, ConfigError> {
    let mut values: BTreeMap<String, (String, Origin)> = SETTINGS
        .iter()
        .map(|setting| (setting.name(), (setting.default.to_owned(), Origin::Default)))
        .collect();
    let mut warnings = Vec::new();

    if let Some((path, text)) = &sources.file {
        for (name, value) in read_file(path, text)? {
            values.insert(name, (value, Origin::File(path.clone())));
        }
    }
    for (name, value) in &sources.credentials {
        values.insert(name.clone(), (value.clone(), Origin::Credential));
    }
    for setting in SETTINGS {
        if let Some((value, variable)) = find_variable(setting, &sources.environment)? {
            values.insert(setting.name(), (value, Origin::Variable(variable)));
        }
    }
    for (name, value) in &sources.flags {
        values.insert(name.clone(), (value.clone(), Origin::Flag));
    }
    for (name, _) in &sources.environment {
        if let Some((_, reason)) = RETIRED_VARIABLES.iter().find(|(retired, _)| retired == name) {
            warnings.push(format!("{name} has no effect: {reason}"));
        }
        if name.starts_with("PHOTOSYNC_") && !is_known_variable(name) {
            warnings.push(format!("{name} is no setting{}", nearest(name, variables())));
        }
    }
    Ok(Resolved { values, warnings })
}

fn find_variable(
    setting: &Setting,
    environment: &[(String, String)],
) -> Result<Option<(String, String)>, ConfigError> {
    let get = |name: &str| environment.iter().find(|(key, _)| key == name).map(|(_, value)| value);
    let own = setting.variable();
    if let Some(value) = get(&own) {
        return Ok(Some((value.clone(), own)));
    }
    if setting.secret {
        for name in std::iter::once(own.as_str()).chain(setting.aliases.iter().copied()) {
            let variable = format!("{name}_FILE");
            if let Some(path) = get(&variable) {
                let text = std::fs::read_to_string(path).map_err(|error| {
                    ConfigError(format!("could not read {variable} ({path}): {error}"))
                })?;
                return Ok(Some((text.trim_end_matches(['\r', '\n']).to_owned(), variable)));
            }
        }
    }
    for alias in setting.aliases {
        let Some(value) = get(alias) else { continue };
        // Many shells and containers set HOST to the machine's name: only an address can be meant for us.
        if *alias == "HOST" && value.parse::<IpAddr>().is_err() {
            continue;
        }
        return Ok(Some((value.clone(), (*alias).to_owned())));
    }
    Ok(None)
}

fn read_file(path: &std::path::Path, text: &str) -> Result<Vec<(String, String)>, ConfigError> {
    let at = |what: String| ConfigError(format!("{}: {what}", path.display()));
    let table: toml::Table =
        text.parse().map_err(|error: toml::de::Error| at(error.to_string()))?;
    let mut values = Vec::new();
    for (section, keys) in table {
        let toml::Value::Table(keys) = keys else {
            return Err(at(format!("`{section}` stands outside a section")));
        };
        for (key, value) in keys {
            let name = format!("{section}.{key}");
            if !SETTINGS.iter().any(|setting| setting.name() == name) {
                let names = SETTINGS.iter().map(Setting::name);
                return Err(at(format!("`{name}` is no setting{}", nearest(&name, names))));
            }
            let value = match value {
                toml::Value::String(text) => text,
                toml::Value::Integer(number) => number.to_string(),
                toml::Value::Boolean(yes) => yes.to_string(),
                other => return Err(at(format!("`{name}` cannot be a {}", other.type_str()))),
            };
            values.push((name, value));
        }
    }
    Ok(values)
}

fn variables() -> impl Iterator<Item = String> {
    SETTINGS
        .iter()
        .map(Setting::variable)
        .chain([DATA_DIR_VARIABLE.to_owned(), CONFIG_VARIABLE.to_owned()])
}

fn is_known_variable(name: &str) -> bool {
    let plain = name.strip_suffix("_FILE").unwrap_or(name);
    // Set by tests for builds and helpers of their own, or for the client on the same machine.
    let of_others = matches!(name, "PHOTOSYNC_FAULT" | "PHOTOSYNC_SERVER_BIN")
        || name.starts_with("PHOTOSYNC_CLIENT_");
    of_others || variables().any(|variable| variable == name || variable == plain)
}

/// `; did you mean …?` for the closest of `names`, if any is close.
fn nearest(name: &str, names: impl Iterator<Item = String>) -> String {
    names
        .map(|known| (strsim::jaro_winkler(name, &known), known))
        .filter(|(closeness, _)| *closeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map_or(String::new(), |(_, known)| format!("; did you mean `{known}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
    }

    #[test]
    fn flags_win_over_variables_over_the_file_over_defaults() {
        let mut sources = Sources {
            file: Some(("p.toml".into(), "[listen]\nport = 1\nmax_connections = 5\n".into())),
            ..Sources::default()
        };
        assert_eq!(resolve(&sources).unwrap().value("listen.port"), "1");
        sources.environment = environment(&[("PORT", "2")]);
        assert_eq!(resolve(&sources).unwrap().value("listen.port"), "2");
        sources.environment = environment(&[("PORT", "2"), ("PHOTOSYNC_LISTEN_PORT", "3")]);
        assert_eq!(resolve(&sources).unwrap().value("listen.port"), "3");
        sources.flags = vec![("listen.port".into(), "4".into())];
        let resolved = resolve(&sources).unwrap();
        assert_eq!(resolved.value("listen.port"), "4");
        assert_eq!(resolved.value("listen.max_connections"), "5");
        assert_eq!(resolved.value("auth.throttle_max"), "25");
    }

    #[test]
    fn a_credential_wins_over_the_file_and_loses_to_variables() {
        let name = "auth.jwt_secret";
        let mut sources = Sources {
            file: Some(("p.toml".into(), "[auth]\njwt_secret = \"file\"\n".into())),
            credentials: vec![(name.into(), "credential".into())],
            ..Sources::default()
        };
        let resolved = resolve(&sources).unwrap();
        assert_eq!(resolved.values[name], ("credential".into(), Origin::Credential));
        sources.environment = environment(&[("JWT_SECRET", "variable")]);
        assert_eq!(resolve(&sources).unwrap().value(name), "variable");
    }

    #[test]
    fn a_misspelt_key_is_refused_with_the_right_one() {
        let file = Some(("p.toml".into(), "[listen]\nprot = 1\n".into()));
        let error = resolve(&Sources { file, ..Sources::default() }).unwrap_err();
        assert!(error.0.contains("`listen.prot`") && error.0.contains("`listen.port`"), "{error}");
    }

    #[test]
    fn a_misspelt_variable_is_only_a_warning() {
        let environment = environment(&[("PHOTOSYNC_LISTEN_PROT", "1"), ("BCRYPT_ROUNDS", "12")]);
        let resolved = resolve(&Sources { environment, ..Sources::default() }).unwrap();
        assert!(resolved.warnings[0].contains("PHOTOSYNC_LISTEN_PORT"), "{:?}", resolved.warnings);
        assert!(resolved.warnings[1].contains("Argon2id"));
    }

    #[test]
    fn a_host_name_in_host_is_not_an_address_to_listen_on() {
        let of = |host: &str| {
            let environment = environment(&[("HOST", host)]);
            resolve(&Sources { environment, ..Sources::default() })
                .unwrap()
                .value("listen.host")
                .to_owned()
        };
        assert_eq!(of("my-laptop"), "0.0.0.0,::");
        assert_eq!(of("127.0.0.1"), "127.0.0.1");
    }

    #[test]
    fn a_secret_is_never_shown() {
        let environment = environment(&[("JWT_SECRET", "open sesame open sesame open sesame")]);
        let shown = resolve(&Sources { environment, ..Sources::default() }).unwrap().show();
        assert!(!shown.contains("sesame") && shown.contains("(secret)"));
    }
}

//! The value of each keyword: from the connection string, the service, the environment.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::keywords::{self, Fate, KEYWORDS, Keyword};
use super::resolve::Surroundings;
use super::{Secret, Source, conninfo, service};
use crate::verdict::UsageError;

/// Where Debian's libpq looks for the system's service file when `PGSYSCONFDIR` does not say.
const SYSTEM_CONFIG: &str = "/etc/postgresql-common";
const SERVICE_FILE: &str = "pg_service.conf";

pub(super) type Result<T, E = UsageError> = std::result::Result<T, E>;

pub(super) fn wrong<T>(message: impl Into<String>) -> Result<T> {
    Err(UsageError(message.into()))
}

/// The value of each keyword that has one, and who gave it.
pub(super) struct Settings(pub(super) BTreeMap<&'static str, (String, Source)>);

impl Settings {
    pub(super) fn gather(url: Option<&Secret>, around: &Surroundings<'_>) -> Result<Self> {
        let mut settings = Self(BTreeMap::new());
        let database_url = around.env.get("DATABASE_URL").filter(|text| !text.is_empty());
        let given = match (url, database_url) {
            (Some(url), _) => Some((url.expose(), Source::Url)),
            (None, Some(text)) => Some((text.as_str(), Source::DatabaseUrl)),
            (None, None) => None,
        };
        if let Some((text, source)) = given {
            let pairs = conninfo::parse(text).map_err(|error| UsageError(format!("{source}: {error}")))?;
            for (keyword, value) in pairs {
                // Of two values, the later counts.
                settings.0.insert(keyword.name, (value, source.clone()));
            }
        }
        settings.add_service(around)?;
        for (keyword, variable) in KEYWORDS.iter().filter_map(|k| Some((k, k.env?))) {
            if let Some(value) = around.env.get(variable) {
                settings.add(keyword, value, Source::Variable(variable));
            }
        }
        if around.env.get("PGREQUIRESSL").is_some_and(|value| value.starts_with('1'))
            && let Some(sslmode) = keywords::find("sslmode")
        {
            settings.add(sslmode, "require", Source::Variable("PGREQUIRESSL"));
        }
        Ok(settings)
    }

    /// Sets what is not set.
    fn add(&mut self, keyword: &'static Keyword, value: &str, source: Source) {
        self.0.entry(keyword.name).or_insert_with(|| (value.to_owned(), source));
    }

    fn add_service(&mut self, around: &Surroundings<'_>) -> Result<()> {
        let variable = |name: &str| around.env.get(name).cloned();
        let explicit = |key: &str| self.0.get(key).map(|(value, _)| value.clone());
        let Some(name) = explicit("service").or_else(|| variable("PGSERVICE")) else { return Ok(()) };
        let own = explicit("servicefile").or_else(|| variable("PGSERVICEFILE"));
        let required = own.is_some();
        let own = own.map(PathBuf::from).or_else(|| Some(around.home.as_ref()?.join(".pg_service.conf")));
        let system = variable("PGSYSCONFDIR").unwrap_or_else(|| SYSTEM_CONFIG.to_owned());
        let system = Path::new(&system).join(SERVICE_FILE);
        for (file, required) in own.map(|own| (own, required)).into_iter().chain([(system, false)]) {
            let text = match (around.read)(&file) {
                Ok(found) => found.text,
                Err(error) if required => {
                    return wrong(format!("cannot read the service file {}: {error}", file.display()));
                }
                Err(_) => continue,
            };
            let found = service::section(&text, &name)
                .map_err(|why| UsageError(format!("service file {}, {why}", file.display())))?;
            if let Some(pairs) = found {
                let source = Source::Service { name, file };
                for (keyword, value) in pairs {
                    self.add(keyword, &value, source.clone());
                }
                return Ok(());
            }
        }
        wrong(format!("there is no service {name:?} in the service files"))
    }

    /// The value of `name` unless it is empty, which libpq takes for none.
    pub(super) fn some(&self, name: &str) -> Option<(&str, &Source)> {
        self.0
            .get(name)
            .map(|(value, source)| (value.as_str(), source))
            .filter(|(value, _)| !value.is_empty())
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.some(name).map(|(value, _)| value.to_owned())
    }

    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        self.some(name).map(|(value, _)| PathBuf::from(value))
    }

    /// `{name}=…`, and where it stands: how messages about a value begin.
    pub(super) fn place(&self, name: &str) -> String {
        match self.0.get(name) {
            Some((_, Source::Variable(variable))) => (*variable).to_owned(),
            Some((_, source)) => format!("{name} ({source})"),
            None => name.to_owned(),
        }
    }

    pub(super) fn bad<T>(&self, name: &str, value: &str, expected: impl Display) -> Result<T> {
        wrong(format!("{}: {value:?} is not {expected}", self.place(name)))
    }

    pub(super) fn refuse_unsupported(&self) -> Result<()> {
        for keyword in &KEYWORDS {
            if let (Fate::Refused { neutral }, Some((value, _))) = (&keyword.fate, self.0.get(keyword.name))
                && !neutral.contains(&value.as_str())
            {
                return wrong(format!(
                    "{}: omtdb does not act on {}, and ignoring it would change what it asks for; leave it out",
                    self.place(keyword.name),
                    keyword.name
                ));
            }
        }
        Ok(())
    }

    /// One of `words`.
    pub(super) fn word<T: Copy>(&self, name: &str, default: T, words: &[(&str, T)]) -> Result<T> {
        let Some((value, _)) = self.some(name) else { return Ok(default) };
        match words.iter().find(|(word, _)| *word == value) {
            Some((_, meaning)) => Ok(*meaning),
            None => {
                let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                self.bad(name, value, format!("one of {}", known.join(", ")))
            }
        }
    }

    pub(super) fn integer(&self, name: &str) -> Result<Option<i32>> {
        let Some((value, _)) = self.some(name) else { return Ok(None) };
        match value.trim_matches(conninfo::is_space).parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => self.bad(name, value, "a whole number"),
        }
    }

    pub(super) fn seconds(&self, name: &str) -> Result<Option<Duration>> {
        let seconds = self.integer(name)?.and_then(|seconds| u64::try_from(seconds).ok());
        Ok(seconds.filter(|&seconds| seconds > 0).map(Duration::from_secs))
    }
}

//! `--repo`: backups that another program keeps.

use std::collections::BTreeMap;
use std::path::PathBuf;

use omtdb::backup::PgBackRest;
use omtdb::pg::Programs;
use omtdb::verdict::UsageError;

/// `--repo`, `--repo-config`.
#[derive(clap::Args, Debug, Clone)]
pub(crate) struct StanzaArgs {
    /// Backups that pgBackRest keeps, by the name of their stanza
    #[arg(long, value_name = "pgbackrest:STANZA", value_parser = stanza)]
    repo: Option<String>,
    /// pgBackRest's configuration file [default: PGBACKREST_CONFIG, else its own default]
    #[arg(long, value_name = "FILE", requires = "repo")]
    repo_config: Option<PathBuf>,
}

fn stanza(text: &str) -> Result<String, String> {
    match text.strip_prefix("pgbackrest:") {
        Some(stanza) if !stanza.is_empty() => Ok(stanza.to_owned()),
        _ => Err("use pgbackrest:STANZA, as in pgbackrest:main".to_owned()),
    }
}

impl StanzaArgs {
    /// The stanza, where one is named.
    pub(crate) fn find(&self, programs: &Programs) -> anyhow::Result<Option<PgBackRest>> {
        let Some(stanza) = &self.repo else { return Ok(None) };
        let path = std::env::var_os("PATH");
        let config = self.repo_config.as_deref();
        Ok(Some(PgBackRest::find(stanza, config, variables()?, programs, path.as_deref())?))
    }
}

/// The variables that pgBackRest understands.
fn variables() -> anyhow::Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for (name, value) in std::env::vars_os() {
        let Some(name) = name.to_str().filter(|name| name.starts_with("PGBACKREST_")) else { continue };
        let value = value.into_string().map_err(|_| UsageError(format!("{name} is not UTF-8")))?;
        found.insert(name.to_owned(), value);
    }
    Ok(found)
}

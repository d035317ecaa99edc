//! Where a command works: a target as libpq finds it, or a scratch cluster.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use omtdb::pg::cluster::{self, Cluster, Lease};
use omtdb::pg::error::Doing as _;
use omtdb::pg::target::{self, ConfigFile, Secret, Surroundings};
use omtdb::pg::{PgError, Programs, Session, Target};
use omtdb::verdict::UsageError;
use tokio_postgres::error::SqlState;

/// What `--scratch` without a name stands for.
pub(crate) const UNNAMED: &str = "scratch";

/// `--url`, `--scratch`, `--pg-bin`.
#[derive(clap::Args, Debug, Clone)]
#[command(next_help_heading = "Target")]
pub(crate) struct PlaceArgs {
    /// Server and database as a URL or key=value pairs [default: DATABASE_URL, else what psql would reach]
    #[arg(long, value_name = "CONNINFO", conflicts_with = "scratch")]
    pub(crate) url: Option<Secret>,
    /// Work in a throw-away cluster on this machine, made and started if need be
    #[arg(long, value_name = "NAME", num_args = 0..=1, require_equals = true, default_missing_value = UNNAMED)]
    pub(crate) scratch: Option<String>,
    #[command(flatten)]
    pub(crate) programs: ProgramArgs,
}

/// `--pg-bin`.
#[derive(clap::Args, Debug, Clone)]
pub(crate) struct ProgramArgs {
    /// Directory of PostgreSQL's server programs, 15 to 18 [default: PATH, else the newest installed]
    #[arg(long, value_name = "DIR", env = "OMTDB_PG_BIN", global = true)]
    pub(crate) pg_bin: Option<PathBuf>,
}

impl ProgramArgs {
    pub(crate) fn find(&self) -> anyhow::Result<Programs> {
        Ok(Programs::find(self.pg_bin.as_deref(), std::env::var_os("PATH").as_deref())?)
    }
}

/// A target, and the lease that keeps its server running where it is one of ours.
pub(crate) struct Place {
    pub(crate) target: Target,
    pub(crate) lease: Option<Lease>,
}

impl Place {
    /// Ends the lease. Where the connection to our server was lost, the failure says why that was: a disk that fills under
    /// its log takes it down, and all that sessions see is a closed connection.
    pub(crate) fn end<T>(self, outcome: anyhow::Result<T>) -> anyhow::Result<T> {
        outcome.map_err(|error| match &self.lease {
            Some(lease) if is_lost(&error) => explained(error, lease),
            _ => error,
        })
    }
}

fn is_lost(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.downcast_ref::<PgError>().is_some_and(PgError::is_lost))
}

fn explained(error: anyhow::Error, lease: &Lease) -> anyhow::Error {
    let Some(why) = lease.why_down() else { return error };
    let dir = lease.cluster().dir();
    let help = if why.contains("No space left on device") {
        format!("; make room on the disk of {} and run again", dir.display())
    } else {
        String::new()
    };
    error.context(format!("the scratch server went down: {why}{help}"))
}

impl PlaceArgs {
    /// Resolves the target; makes and starts the scratch cluster where one is asked for.
    pub(crate) async fn resolve(&self) -> anyhow::Result<Place> {
        let Some(name) = &self.scratch else {
            return Ok(Place { target: self.target()?, lease: None });
        };
        let cluster = Cluster::make(&home()?, name, &self.programs.find()?, &cluster::Options::default())?;
        let lease = Lease::start(cluster)?;
        make_database(lease.cluster()).await?;
        Ok(Place { target: lease.cluster().target(cluster::DATABASE), lease: Some(lease) })
    }

    /// A scratch cluster of this process alone, destroyed at the end.
    pub(crate) async fn throw_away(&self, purpose: &str) -> anyhow::Result<Place> {
        let lease = Lease::private(&home()?, purpose, &self.programs.find()?)?;
        make_database(lease.cluster()).await?;
        Ok(Place { target: lease.cluster().target(cluster::DATABASE), lease: Some(lease) })
    }

    fn target(&self) -> anyhow::Result<Target> {
        let around = Surroundings { env: variables()?, home: user_home(), os_user: user_name(), read: &read };
        let resolved = target::resolve(self.url.as_ref(), &around)?;
        for warning in resolved.warnings {
            tracing::warn!("{warning}");
        }
        Ok(resolved.target)
    }
}

/// The variables that say where the database is.
fn variables() -> anyhow::Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for (name, value) in std::env::vars_os() {
        let Some(name) = name.to_str().filter(|name| name.starts_with("PG") || *name == "DATABASE_URL")
        else {
            continue;
        };
        let value = value.into_string().map_err(|_| UsageError(format!("{name} is not UTF-8")))?;
        found.insert(name.to_owned(), value);
    }
    Ok(found)
}

fn user() -> Option<nix::unistd::User> {
    nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten()
}

pub(super) fn user_name() -> Option<String> {
    Some(user()?.name)
}

/// `HOME`, else what the system knows, as libpq has it.
fn user_home() -> Option<PathBuf> {
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    home.or_else(|| Some(user()?.dir))
}

fn read(path: &Path) -> io::Result<ConfigFile> {
    let found = std::fs::metadata(path)?;
    let is_plain = found.is_file();
    // What is not a plain file (a pipe, say) may never end.
    let bytes = if is_plain { std::fs::read(path)? } else { Vec::new() };
    let text = String::from_utf8(bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))?;
    Ok(ConfigFile { text, mode: found.permissions().mode(), is_plain })
}

/// Makes the database that commands use, if it is not there.
pub(super) async fn make_database(cluster: &Cluster) -> anyhow::Result<()> {
    let session = Session::connect(&cluster.target("postgres"), "cluster").await?;
    let known = "SELECT FROM pg_catalog.pg_database WHERE datname = $1";
    if session
        .query_opt(known, &[&cluster::DATABASE])
        .await
        .doing(|| "look for the scratch database".to_owned())?
        .is_none()
    {
        let create = format!("CREATE DATABASE {}", omtdb::pg::ident::quoted(cluster::DATABASE));
        match session.batch_execute(&create).await {
            // Another omtdb was faster.
            Err(error) if is_duplicate(&error) => {}
            created => created.doing(|| "create the scratch database".to_owned())?,
        }
    }
    session.close().await;
    Ok(())
}

fn is_duplicate(error: &tokio_postgres::Error) -> bool {
    error
        .code()
        .is_some_and(|code| *code == SqlState::DUPLICATE_DATABASE || *code == SqlState::UNIQUE_VIOLATION)
}

/// Where scratch clusters live: `OMTDB_HOME`, else the platform's state directory. Root's own is closed to the user
/// that the servers run as, so root keeps them under `/var/lib`.
pub(crate) fn home() -> anyhow::Result<PathBuf> {
    if let Some(home) = std::env::var_os("OMTDB_HOME").filter(|home| !home.is_empty()) {
        return Ok(std::path::absolute(PathBuf::from(home))?.join("clusters"));
    }
    if nix::unistd::geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/omtdb/clusters"));
    }
    let state = std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state")));
    let state = state.context("neither OMTDB_HOME nor HOME is set: name a directory for scratch clusters")?;
    Ok(state.join("omtdb/clusters"))
}

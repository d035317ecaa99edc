//! A real server for each test, and the `omtdb` command to run against it.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::Output;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use omtdb::datagen::{self, Sizes, Spec};
use omtdb::migrate::{self, Source};
use omtdb::pg::cluster::{self, Cluster, Lease, Options, Settings};
use omtdb::pg::{Programs, Session, Target};
use omtdb::run::Run;

/// PostgreSQL's programs for the tests.
///
/// # Panics
/// When there are none: a test without a server would prove nothing.
pub(crate) fn programs() -> Programs {
    let explicit = std::env::var_os("OMTDB_PG_BIN").map(PathBuf::from);
    Programs::find(explicit.as_deref(), std::env::var_os("PATH").as_deref())
        .expect("PostgreSQL's server programs are needed: run scripts/test, which installs them")
}

/// `OMTDB_HOME` of this test process; `scripts/test` sweeps up what a killed one leaves.
pub(crate) fn home() -> PathBuf {
    static HOME: LazyLock<PathBuf> = LazyLock::new(|| {
        let home = PathBuf::from(format!("/tmp/omtdb-it-{}", std::process::id()));
        // Numbers of processes come again.
        drop(std::fs::remove_dir_all(&home));
        home
    });
    HOME.clone()
}

/// Waits until `is_so`, for two minutes at most.
///
/// # Panics
/// When it has not come by then: a test that waits for ever says nothing.
pub(crate) async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let since = std::time::Instant::now();
    while !is_so().await {
        assert!(since.elapsed() < std::time::Duration::from_secs(120), "it does not come to this: {what}");
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}

/// A name no other test of this process uses.
pub(crate) fn fresh_name(prefix: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{prefix}{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Sizes of [`Server::loaded`].
pub(crate) const LOADED: Sizes = Sizes { users: 300, media: 1_000, user_media: 30_000 };

/// How the tests generate.
pub(crate) fn spec(seed: u64, sizes: Sizes) -> Spec {
    Spec { jobs: NonZeroUsize::MIN.saturating_add(1), ..Spec::of(seed, sizes) }
}

/// A running server that goes when the test ends, also when it fails.
pub(crate) struct Server {
    lease: Lease,
}

impl Server {
    /// A new server with nothing in it.
    pub(crate) fn start() -> Self {
        Self::with_settings(&[])
    }

    /// A new server with `settings`.
    pub(crate) fn with_settings(settings: &[(&str, &str)]) -> Self {
        // Tests lose nothing when the machine does: no flushing.
        let mut all: Settings = [("fsync".to_owned(), "off".to_owned())].into();
        all.extend(settings.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())));
        let name = fresh_name("t");
        let cluster = Cluster::make(&home().join("clusters"), &name, &programs(), &Options { settings: all });
        Self { lease: Lease::throw_away(cluster.unwrap()).unwrap() }
    }

    pub(crate) fn cluster(&self) -> &Cluster {
        self.lease.cluster()
    }

    /// Kills its server with signal 9 and starts it again.
    pub(crate) fn kill_and_start_again(&self) {
        let pid_file = self.cluster().data_dir().join("postmaster.pid");
        let pid = std::fs::read_to_string(pid_file).unwrap().lines().next().unwrap().parse().unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
        for _ in 0..24_000 {
            if !self.cluster().is_running() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert!(self.cluster().start().unwrap());
    }

    /// An empty database of its own in this server.
    pub(crate) async fn database(&self) -> Target {
        let name = fresh_name("d");
        let session = self.session("postgres").await;
        session.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
        session.close().await;
        self.cluster().target(&name)
    }

    /// A database of its own with every migration applied.
    pub(crate) async fn migrated(&self) -> Target {
        let target = self.database().await;
        migrate::apply(&target, &Source::embedded(), &migrate::Options::default(), &Run::silent())
            .await
            .unwrap();
        target
    }

    /// A database of its own with every migration applied and [`LOADED`] data of seed 42.
    pub(crate) async fn loaded(&self) -> Target {
        let target = self.migrated().await;
        datagen::generate(&Run::silent(), &target, &spec(42, LOADED)).await.unwrap();
        target
    }

    /// The command's option for this server, whose own database is made a copy of `target`'s.
    pub(crate) async fn scratch_of(&self, target: &Target) -> String {
        let copy = format!("CREATE DATABASE {} TEMPLATE {}", cluster::DATABASE, target.dbname);
        self.session("postgres").await.batch_execute(&copy).await.unwrap();
        format!("--scratch={}", self.cluster().name())
    }

    pub(crate) async fn session(&self, dbname: &str) -> Session {
        Session::connect(&self.cluster().target(dbname), "test").await.unwrap()
    }

    /// The URL of database `dbname`, for the command.
    pub(crate) fn url(&self, dbname: &str) -> String {
        self.cluster().url(dbname)
    }
}

/// Runs `omtdb` to its end, in an environment of its own.
pub(crate) fn omtdb(args: &[&str]) -> Output {
    command().args(args).output().unwrap()
}

/// The `omtdb` command in an environment of its own.
pub(crate) fn command() -> std::process::Command {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_omtdb"));
    command.env_clear().env("OMTDB_HOME", home()).env("HOME", home());
    for kept in ["PATH", "OMTDB_PG_BIN"] {
        if let Some(value) = std::env::var_os(kept) {
            command.env(kept, value);
        }
    }
    command
}

/// The one JSON document on standard output.
#[track_caller]
pub(crate) fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(output)))
}

/// What the command said, for messages of failed assertions.
pub(crate) fn text(output: &Output) -> String {
    format!(
        "exit {:?}\n--- stdout\n{}\n--- stderr\n{}",
        output.status.code(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// A disk of few MiB, mounted until the test ends. Only root can have one.
pub(crate) struct SmallDisk {
    pub(crate) dir: PathBuf,
}

impl SmallDisk {
    pub(crate) fn mount(mib: u32) -> Self {
        let dir = home().join(fresh_name("disk"));
        std::fs::create_dir_all(&dir).unwrap();
        let disk = Self { dir };
        disk.run("mount", &["-t", "tmpfs", "-o", &format!("size={mib}m,mode=755"), "tmpfs"]);
        disk
    }

    /// Bytes that are free.
    pub(crate) fn free(&self) -> u64 {
        let disk = nix::sys::statvfs::statvfs(&self.dir).unwrap();
        disk.blocks_available() * disk.fragment_size()
    }

    /// Fills it but for the last few MiB, until the returned file is dropped.
    pub(crate) fn leave(&self, mib: u64) -> tempfile::NamedTempFile {
        let free = self.free();
        let mut ballast = tempfile::NamedTempFile::new_in(&self.dir).unwrap();
        let zeros = std::io::Read::take(std::io::repeat(0), free.saturating_sub(mib << 20));
        match std::io::copy(&mut { zeros }, &mut ballast) {
            // Whoever else writes may have been faster.
            Err(error) if error.kind() == std::io::ErrorKind::StorageFull => {}
            copied => drop(copied.unwrap()),
        }
        ballast
    }

    fn run(&self, program: &str, args: &[&str]) {
        let status = std::process::Command::new(program).args(args).arg(&self.dir).status().unwrap();
        assert!(status.success(), "root must be able to mount a small disk");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a failing test may leave a server in it.
        drop(std::process::Command::new("umount").arg("-l").arg(&self.dir).status());
    }
}

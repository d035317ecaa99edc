//! The database whose copies are spoilt: small, generated, at rest.

use std::path::PathBuf;

use crate::datagen::spec::DEFAULT_SEED;
use crate::datagen::{self, Sizes, Spec};
use crate::drill::Site;
use crate::migrate::{self, Source as Migrations};
use crate::pg::cluster::Lease;
use crate::pg::error::Doing as _;
use crate::pg::{Session, Target};
use crate::run::Run;

const DATABASE: &str = "postgres";
const SIZES: Sizes = Sizes { users: 300, media: 1_000, user_media: 30_000 };
/// A value that does not fit into a page, and does not shrink: what is spoilt in TOAST. Then every page is written, so that the
/// log after the backup has none of them to put right again.
const AT_REST: &str = "UPDATE media.media SET description = (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 500) AS i)
     WHERE id = (SELECT min(id::text)::uuid FROM media.media);
ALTER SYSTEM SET autovacuum = off; SELECT pg_catalog.pg_reload_conf();";
const FILES: &str = "SELECT pg_catalog.pg_relation_filepath(c.oid) AS heap, pg_catalog.pg_relation_filepath(i.indexrelid) AS index,
       (SELECT pg_catalog.pg_relation_filepath(reltoastrelid) FROM pg_catalog.pg_class
        WHERE oid = 'media.media'::pg_catalog.regclass) AS toast
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_index AS i ON i.indrelid = c.oid AND i.indisprimary
WHERE c.oid IN (SELECT inhrelid FROM pg_catalog.pg_inherits WHERE inhparent = 'interaction.user_media'::pg_catalog.regclass)
ORDER BY pg_catalog.pg_relation_size(c.oid) DESC LIMIT 1";

/// A server with a database at rest, and where some of its tables lie.
pub(super) struct Source {
    pub(super) lease: Lease,
    pub(super) target: Target,
    /// The largest leaf of `interaction.user_media`, from the data directory.
    pub(super) heap: PathBuf,
    /// Its primary key.
    pub(super) index: PathBuf,
    /// What is too long for `media.media`.
    pub(super) toast: PathBuf,
}

impl Source {
    pub(super) async fn make(run: &Run, site: &Site) -> anyhow::Result<Self> {
        let lease = Lease::private(&site.home, "faults", &site.programs)?;
        let target = lease.cluster().target(DATABASE);
        migrate::apply(&target, &Migrations::embedded(), &migrate::Options::default(), run).await?;
        datagen::generate(run, &target, &Spec::of(DEFAULT_SEED, SIZES)).await?;
        let session = Session::connect(&target, "drill").await?;
        let doing = || "bring the test's own source to rest".to_owned();
        for sql in AT_REST.split(';').chain(["VACUUM (FREEZE, ANALYZE)", "CHECKPOINT"]) {
            session.batch_execute(sql).await.doing(doing)?;
        }
        let row = session.query_one(FILES, &[]).await.doing(doing)?;
        let path = |column: &str| -> Result<PathBuf, tokio_postgres::Error> {
            row.try_get::<_, String>(column).map(PathBuf::from)
        };
        let paths = || Ok::<_, tokio_postgres::Error>((path("heap")?, path("index")?, path("toast")?));
        let (heap, index, toast) = paths().doing(doing)?;
        session.close().await;
        Ok(Self { lease, target, heap, index, toast })
    }
}

//! A server reached by TCP, with certificates and passwords.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};

use omtdb::pg::cluster::Settings;
use omtdb::pg::target::{self, ConfigFile, Secret, Surroundings};
use omtdb::pg::{PgError, Session, Target};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod,
    KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};

use crate::harness::{Server, fresh_name, home};

/// The password of every role.
pub(crate) const PASSWORD: &str = "hush hush: 'secret'";

/// `joe` may do as he likes, `enc` must encrypt, `plain` must not, `certified` needs a certificate.
const ROLES: [&str; 4] = ["joe", "enc", "plain", "certified"];
const HBA: &str = "\
local all all trust
hostssl all certified all cert
hostssl all enc all scram-sha-256
hostnossl all plain all scram-sha-256
host all joe all scram-sha-256
";

/// A signer of certificates.
pub(crate) struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, in PEM.
pub(crate) struct Leaf {
    pub(crate) cert: String,
    pub(crate) key: String,
}

const SERIAL: u64 = 42;

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A certificate for `names`, which belongs to `subject`.
    pub(crate) fn sign(&self, subject: &str, names: &[&str]) -> Leaf {
        let mut params =
            CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()).unwrap();
        params.distinguished_name.push(DnType::CommonName, subject);
        params.serial_number = Some(SerialNumber::from(SERIAL));
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        Leaf { cert: cert.pem(), key: key.serialize_pem() }
    }

    /// A list that revokes the certificate with serial number `serial`.
    pub(crate) fn revoke(&self, serial: u64) -> String {
        let revoked = RevokedCertParams {
            serial_number: SerialNumber::from(serial),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(2044, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![revoked],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }

    /// Another certificate than any that [`Authority::sign`] makes.
    pub(crate) const OTHER_SERIAL: u64 = SERIAL + 1;
    /// The certificates that [`Authority::sign`] makes.
    pub(crate) const SERIAL: u64 = SERIAL;
}

/// A certificate that signs itself, an authority and a server at once, as `openssl req -x509` makes them.
pub(crate) fn self_signed(name: &str) -> Leaf {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    Leaf { cert: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
}

/// A server on a loopback address of its own, and a home directory for whoever connects to it.
pub(crate) struct Secure {
    pub(crate) server: Server,
    pub(crate) address: String,
    pub(crate) home: PathBuf,
    pub(crate) authority: Authority,
}

impl Secure {
    /// A server that encrypts with a certificate for `localhost` and its address, and takes passwords.
    pub(crate) async fn start() -> Self {
        let plain = Self::without_tls().await;
        plain.present(&plain.authority.sign("server", &["localhost", &plain.address]));
        plain
    }

    /// A server that does not encrypt.
    pub(crate) async fn without_tls() -> Self {
        let server = Server::start();
        let session = server.session("postgres").await;
        for role in ROLES {
            let password = omtdb::pg::ident::literal(PASSWORD);
            session.batch_execute(&format!("CREATE ROLE {role} LOGIN PASSWORD {password}")).await.unwrap();
        }
        session.close().await;
        let home = home().join(fresh_name("user"));
        fs::create_dir_all(&home).unwrap();
        let authority = Authority::new("authority");
        let secure = Self { server, address: fresh_address(), home, authority };
        secure.write("ca.crt", &secure.authority.pem);
        let hba = secure.server.cluster().data_dir().join("pg_hba.conf");
        secure.server.cluster().write_file(&hba, HBA).unwrap();
        secure.restart_with(&[("listen_addresses", &secure.address)]);
        secure
    }

    pub(crate) fn restart_with(&self, settings: &[(&str, &str)]) {
        let settings: Settings =
            settings.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        self.server.cluster().restart_with(&settings).unwrap();
    }

    /// Makes the server present `leaf`.
    pub(crate) fn present(&self, leaf: &Leaf) {
        let cluster = self.server.cluster();
        for (file, text) in
            [("server.crt", &leaf.cert), ("server.key", &leaf.key), ("ca.crt", &self.authority.pem)]
        {
            let path = cluster.data_dir().join(file);
            cluster.write_file(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        self.restart_with(&[("ssl", "on"), ("ssl_ca_file", "ca.crt")]);
    }

    /// Writes a file that only its owner may read into the home directory, and returns its path.
    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let path = self.home.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path.display().to_string()
    }

    /// `host` and `hostaddr` of the server.
    pub(crate) fn place(&self) -> String {
        format!("host=localhost hostaddr={} dbname=postgres", self.address)
    }

    /// The target that `conninfo` and `env` lead to, from this home directory.
    pub(crate) fn target(&self, conninfo: &str, env: &[(&str, &str)]) -> Target {
        let env: BTreeMap<String, String> =
            env.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let around = Surroundings {
            env,
            home: Some(self.home.clone()),
            os_user: Some("root".to_owned()),
            read: &read,
        };
        target::resolve(Some(&Secret::new(conninfo)), &around).unwrap().target
    }

    /// Connects as `role`, with its password.
    pub(crate) async fn connect(&self, role: &str, more: &str) -> Result<Session, PgError> {
        let conninfo = format!("{} user={role} {more}", self.place());
        Session::connect(&self.target(&conninfo, &[("PGPASSWORD", PASSWORD)]), "test").await
    }

    /// Whether a session of `role` is encrypted, or why there is none.
    pub(crate) async fn encrypts(&self, role: &str, more: &str) -> Result<bool, String> {
        let session = self.connect(role, more).await.map_err(|error| error.to_string())?;
        let own = "SELECT ssl FROM pg_catalog.pg_stat_ssl WHERE pid = pg_catalog.pg_backend_pid()";
        Ok(session.query_one(own, &[]).await.unwrap().get(0))
    }
}

impl Drop for Secure {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.home));
    }
}

pub(crate) fn read(path: &Path) -> io::Result<ConfigFile> {
    let found = fs::metadata(path)?;
    Ok(ConfigFile {
        text: fs::read_to_string(path)?,
        mode: found.permissions().mode(),
        is_plain: found.is_file(),
    })
}

/// An address of this machine that no other test listens on.
fn fresh_address() -> String {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    format!("127.{}.{high}.{low}", NEXT.fetch_add(1, Ordering::Relaxed))
}

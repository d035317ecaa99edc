//! Encryption of sessions, with libpq's six modes.
//!
//! What is verified follows `fe-secure-openssl.c`: the chain of signatures in every mode for which there is a root
//! certificate file, the host's name in `verify-full` only, nothing otherwise.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    SupportedProtocolVersion,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::target::{Roots, SslMode, Tls, TlsVersion};

/// What servers of PostgreSQL 17 expect of clients that start with TLS.
const ALPN: &[u8] = b"postgresql";

/// Why TLS cannot begin, in words.
type Result<T, E = String> = std::result::Result<T, E>;

/// What makes encrypted connections under `tls`. Reads the files that it names.
///
/// # Errors
/// When a file that is needed is missing, closed to us or not understood; the text names it.
pub(super) fn connector(tls: &Tls) -> Result<MakeRustlsConnect> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Verifier::new(tls, &provider)?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions(tls))
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match client_certificate(tls)? {
        Some((chain, key)) => builder
            .with_client_auth_cert(chain, key)
            .map_err(|error| format!("the client's certificate and key do not work: {error}"))?,
        None => builder.with_no_client_auth(),
    };
    config.enable_sni = tls.sni;
    if tls.direct {
        config.alpn_protocols = vec![ALPN.to_vec()];
    }
    Ok(MakeRustlsConnect::new(config))
}

fn versions(tls: &Tls) -> Vec<&'static SupportedProtocolVersion> {
    [(TlsVersion::V13, &rustls::version::TLS13), (TlsVersion::V12, &rustls::version::TLS12)]
        .into_iter()
        .filter(|(version, _)| (tls.oldest..=tls.newest).contains(version))
        .map(|(_, version)| version)
        .collect()
}

/// Verifies no more than the mode asks for; that the server holds its certificate's key is verified in every mode.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    /// Verifies the chain, then the name; `None` verifies neither.
    chain: Option<Arc<WebPkiServerVerifier>>,
    /// Certificates that the user's root file holds; a server may present one of them itself.
    known: Vec<CertificateDer<'static>>,
    verifies_name: bool,
}

impl Verifier {
    fn new(tls: &Tls, provider: &Arc<CryptoProvider>) -> Result<Self> {
        let known = known_certificates(tls)?;
        let chain = match &known {
            Some(known) => Some(chain_verifier(tls, known, provider)?),
            None => None,
        };
        Ok(Self {
            provider: Arc::clone(provider),
            chain,
            known: known.unwrap_or_default(),
            verifies_name: tls.mode == SslMode::VerifyFull,
        })
    }
}

/// The certificates to trust; `None` where libpq verifies nothing.
fn known_certificates(tls: &Tls) -> Result<Option<Vec<CertificateDer<'static>>>> {
    let demanded = matches!(tls.mode, SslMode::VerifyCa | SslMode::VerifyFull);
    match &tls.roots {
        Roots::System => {
            let found = rustls_native_certs::load_native_certs();
            match (found.certs.is_empty(), found.errors.first()) {
                (false, _) => Ok(Some(found.certs)),
                (true, Some(error)) => Err(format!("the system's root certificates cannot be read: {error}")),
                (true, None) => Err("the system has no root certificates".to_owned()),
            }
        }
        Roots::File(path) if path.exists() => {
            let certificates = pem(path, "root certificate file", CertificateDer::pem_file_iter(path))?;
            Ok(Some(certificates))
        }
        Roots::File(path) if demanded => Err(format!(
            "sslmode={} needs the root certificate file {}, which does not exist\n  help: put it there, name another with \
             sslrootcert, or trust the system's with sslrootcert=system",
            tls.mode.word(),
            path.display()
        )),
        Roots::Unknown if demanded => Err(format!(
            "sslmode={} needs a root certificate file, and there is no home directory to look in\n  help: name one with \
             sslrootcert",
            tls.mode.word()
        )),
        Roots::File(_) | Roots::Unknown => Ok(None),
    }
}

fn chain_verifier(
    tls: &Tls,
    known: &[CertificateDer<'static>],
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(known.iter().cloned());
    let crls = match &tls.crl {
        Some(path) if path.exists() => {
            pem(path, "certificate revocation list", CertificateRevocationListDer::pem_file_iter(path))?
        }
        _ => Vec::new(),
    };
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .with_crls(crls)
        .build()
        .map_err(|error| format!("{} cannot be used: {error}", roots_in_words(tls)))
}

fn roots_in_words(tls: &Tls) -> String {
    match &tls.roots {
        Roots::File(path) => format!("the root certificate file {}", path.display()),
        Roots::System => "the system's root certificates".to_owned(),
        Roots::Unknown => "the root certificates".to_owned(),
    }
}

type PemError = rustls::pki_types::pem::Error;

fn pem<T>(
    path: &Path,
    what: &str,
    items: Result<impl Iterator<Item = Result<T, PemError>>, PemError>,
) -> Result<Vec<T>> {
    let items: Vec<T> = items
        .and_then(|items| items.collect())
        .map_err(|error| format!("the {what} {} cannot be read: {error}", path.display()))?;
    if items.is_empty() {
        return Err(format!("the {what} {} holds nothing in PEM format", path.display()));
    }
    Ok(items)
}

/// The certificate to present and its key, where the certificate's file exists.
fn client_certificate(tls: &Tls) -> Result<Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>> {
    let Some(cert) = tls.cert.as_deref() else { return Ok(None) };
    match fs::metadata(cert) {
        Ok(_) => {}
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => {
            return Err(format!("the client's certificate {} cannot be read: {error}", cert.display()));
        }
    }
    let chain = pem(cert, "client's certificate", CertificateDer::pem_file_iter(cert))?;
    let Some(key) = tls.key.as_deref() else {
        return Err(format!(
            "the client's certificate {} has no key\n  help: name it with sslkey",
            cert.display()
        ));
    };
    check_permissions(key)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| {
        format!(
            "the client's key {} cannot be read: {error}\n  help: encrypted keys are not supported",
            key.display()
        )
    })?;
    Ok(Some((chain, key)))
}

/// libpq's rule: nobody else may read a key, save the group of one that belongs to root.
fn check_permissions(key: &Path) -> Result<()> {
    let found = fs::metadata(key)
        .map_err(|error| format!("the client's key {} cannot be read: {error}", key.display()))?;
    let others = if found.uid() == 0 { 0o037 } else { 0o077 };
    if !found.is_file() {
        return Err(format!("the client's key {} is not a plain file", key.display()));
    }
    if found.mode() & others != 0 {
        return Err(format!(
            "others may use the client's key {path}\n  help: chmod 0600 {path}",
            path = key.display()
        ));
    }
    Ok(())
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The name is looked at after everything else has been found good.
            Err(error) if is_wrong_name(&error) && !self.verifies_name => Ok(ServerCertVerified::assertion()),
            // A server may present a self-signed certificate that the user's file holds. OpenSSL trusts it for being
            // there; webpki, which has checked its dates by then, does not take an authority for a server.
            Err(error) if is_authority(&error) && self.known.iter().any(|known| known == end_entity) => {
                if self.verifies_name {
                    rustls::client::verify_server_name(
                        &ParsedCertificate::try_from(end_entity)?,
                        server_name,
                    )?;
                }
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn is_wrong_name(error: &rustls::Error) -> bool {
    matches!(
        error,
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
        )
    )
}

/// webpki's own error, which rustls passes on without a variant for it.
fn is_authority(error: &rustls::Error) -> bool {
    matches!(error, rustls::Error::InvalidCertificate(CertificateError::Other(other))
        if format!("{other:?}").contains("CaUsedAsEndEntity"))
}

/// What a failed handshake under `tls` means, and which setting decides it.
pub(super) fn explain(tls: &Tls, error: &rustls::Error) -> String {
    let rustls::Error::InvalidCertificate(why) = error else {
        return format!("the server and omtdb do not agree on TLS: {error}");
    };
    let why = match why {
        CertificateError::UnknownIssuer => {
            format!("it is not signed by an authority of {}", roots_in_words(tls))
        }
        CertificateError::NotValidForNameContext { expected, presented } if presented.is_empty() => {
            format!(
                "it names no host in subjectAltName (a common name alone does not count), so it is not proven to be \
                 {}'s",
                expected.to_str()
            )
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            format!("it is for {}, not for {}", presented.join(", "), expected.to_str())
        }
        other => other.to_string(),
    };
    format!("the server's certificate fails sslmode={}: {why}", tls.mode.word())
}

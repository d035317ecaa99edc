//! The keys of a history: ed25519, in the files that OpenSSL writes and reads.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::Context as _;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

use crate::verdict::UsageError;

/// What stands before the 32 bytes of a seed in PKCS#8 (RFC 8410, section 7), version 1: OpenSSL does not read version 2.
const PKCS8: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
/// What stands before the 32 bytes of a public key in a `SubjectPublicKeyInfo` (RFC 8410, section 4).
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];

/// The key that signs.
pub(super) struct Signer(Ed25519KeyPair);

impl Signer {
    /// Reads a private key: PKCS#8, PEM or DER, as `openssl genpkey -algorithm ed25519` writes it.
    ///
    /// # Errors
    /// [`UsageError`] when it is no such key or others may read it.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let usage = |why: &str| UsageError(format!("the key {} {why}", path.display()));
        let found = fs::metadata(path).and_then(|meta| Ok((meta.permissions().mode(), fs::read(path)?)));
        let (mode, bytes) = match found {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(usage("is not there").into());
            }
            found => found.with_context(|| format!("read the key {}", path.display()))?,
        };
        if mode & 0o077 != 0 {
            return Err(usage("may be read by others\n  help: chmod 600 it").into());
        }
        let der = from_pem(&bytes, "PRIVATE KEY").unwrap_or(bytes);
        let no_key =
            "is no ed25519 key in PKCS#8\n  help: make one with openssl genpkey -algorithm ed25519 -out FILE";
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map(Self).map_err(|_| usage(no_key).into())
    }

    /// Makes a key and writes it to `path`, for its owner's eyes only.
    ///
    /// # Errors
    /// When there is no randomness, or the file cannot be written or is there already.
    pub(super) fn make(path: &Path) -> anyhow::Result<Self> {
        let mut seed = [0; 32];
        SystemRandom::new().fill(&mut seed).ok().context("the system gives no random numbers")?;
        let text = pem("PRIVATE KEY", &[&PKCS8[..], &seed].concat());
        let wrote = || -> io::Result<()> {
            let mut file = File::options().create_new(true).write(true).mode(0o600).open(path)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()
        };
        wrote().with_context(|| format!("write the key {}", path.display()))?;
        Self::read(path)
    }

    pub(super) fn public(&self) -> anyhow::Result<PublicKey> {
        let bytes = self.0.public_key().as_ref().try_into();
        bytes.map(PublicKey).context("an ed25519 key has 32 bytes")
    }

    /// The 64 bytes of the signature of `message`.
    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(message).as_ref().to_vec()
    }
}

/// The key that others verify with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Reads a `SubjectPublicKeyInfo`, PEM or DER, as `openssl pkey -pubout` writes it.
    ///
    /// # Errors
    /// When it cannot be read; [`UsageError`] when it is not there or no such key.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let bytes = match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(UsageError(format!("the public key {} is not there", path.display())).into());
            }
            bytes => bytes.with_context(|| format!("read the public key {}", path.display()))?,
        };
        let der = from_pem(&bytes, "PUBLIC KEY").unwrap_or(bytes);
        let key = der.strip_prefix(&SPKI[..]).and_then(|key| key.try_into().ok());
        let no_key = || UsageError(format!("{} is no public ed25519 key", path.display()));
        Ok(Self(key.ok_or_else(no_key)?))
    }

    /// The text of its file.
    #[must_use]
    pub fn pem(&self) -> String {
        pem("PUBLIC KEY", &self.der())
    }

    /// Its name: `sha256:` and the digest of its `SubjectPublicKeyInfo` in hexadecimal.
    #[must_use]
    pub fn id(&self) -> String {
        sha256(&self.der())
    }

    /// Whether `signature` is of `message` by this key.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(message, signature).is_ok()
    }

    fn der(&self) -> Vec<u8> {
        [&SPKI[..], &self.0].concat()
    }
}

/// The digest of `bytes`, named by its algorithm: `sha256:` and 64 hexadecimal digits.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    let hex: Vec<String> = digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{}", hex.concat())
}

/// A key of ours fits one line of 64 characters.
fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", BASE64_STANDARD.encode(der))
}

/// The bytes between the lines that say `label`; `None` where there is no such PEM.
fn from_pem(bytes: &[u8], label: &str) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let inner = text.split_once(&format!("-----BEGIN {label}-----"))?.1;
    let inner = inner.split_once(&format!("-----END {label}-----"))?.0;
    BASE64_STANDARD.decode(inner.split_whitespace().collect::<String>()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_and_is_closed_to_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let made = Signer::make(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let read = Signer::read(&path).unwrap();
        let public = made.public().unwrap();
        assert_eq!(read.public().unwrap(), public);
        assert!(public.verifies(b"x", &read.sign(b"x")) && !public.verifies(b"y", &read.sign(b"x")));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let said = Signer::read(&path).err().unwrap().to_string();
        assert!(said.contains("may be read by others") && said.contains("chmod 600"), "{said}");
        assert!(Signer::make(&path).is_err(), "a key is never written over");
    }

    #[test]
    fn keys_of_openssl_are_read() {
        // RFC 8410, section 10.3 and 10.1: a private key and its public key.
        let private = "-----BEGIN PRIVATE KEY-----\n\
            MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
        let public = "-----BEGIN PUBLIC KEY-----\n\
            MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
        let dir = tempfile::tempdir().unwrap();
        let (secret_path, public_path) = (dir.path().join("key"), dir.path().join("key.pub"));
        fs::write(&secret_path, private).unwrap();
        fs::set_permissions(&secret_path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&public_path, public).unwrap();
        let key = PublicKey::read(&public_path).unwrap();
        assert_eq!(Signer::read(&secret_path).unwrap().public().unwrap(), key);
        assert_eq!(key.pem(), public);
    }

    #[test]
    fn what_is_no_key_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        assert!(Signer::read(&path).err().unwrap().to_string().ends_with("is not there"));
        fs::write(&path, "hello").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(Signer::read(&path).err().unwrap().to_string().contains("no ed25519 key"));
        assert!(PublicKey::read(&path).unwrap_err().to_string().contains("no public ed25519 key"));
    }

    #[test]
    fn digests_name_their_algorithm() {
        // FIPS 180-2, appendix B.1.
        assert_eq!(sha256(b"abc"), "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}

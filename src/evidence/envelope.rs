//! One line of a history: a DSSE envelope around an in-toto statement about a drill.
//!
//! DSSE 1.0.2 (secure-systems-lab/dsse) signs the bytes of the payload as they stand, under their type; nothing has to be
//! written again to be verified. The statement is in-toto's v1: its subjects are what was examined, by digest, its
//! predicate is what the drill found.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::canonical::canonical;
use super::key::{PublicKey, Signer, sha256};
use super::{Facts, Kind};
use crate::verdict::Verdict;

/// Version of the predicate; rises when a field changes its meaning or goes.
pub const EVIDENCE_VERSION: u32 = 1;

const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
const PREDICATE_TYPE: &str = "urn:omtdb:drill:1";

/// What is said of a drill.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Predicate {
    pub(super) evidence_version: u32,
    /// Its place in the history, from 1.
    pub(super) sequence: u64,
    /// Digest of the line before it; none before the first.
    pub(super) previous: Option<String>,
    pub(super) kind: Kind,
    pub(super) started: Timestamp,
    pub(super) finished: Timestamp,
    pub(super) verdict: Verdict,
    pub(super) omtdb_version: String,
    pub(super) facts: Facts,
    /// The drill's own JSON.
    pub(super) result: Value,
}

/// The statement around it, as far as it is read.
#[derive(Deserialize)]
struct Statement {
    predicate: Predicate,
}

/// The parts of a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Envelope {
    payload: String,
    payload_type: String,
    signatures: [Signature; 1],
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signature {
    keyid: String,
    sig: String,
}

impl Envelope {
    /// `predicate`, signed.
    pub(super) fn seal(predicate: &Predicate, signer: &Signer) -> anyhow::Result<Self> {
        let payload = canonical(&statement(predicate)?).into_bytes();
        let sig = BASE64_STANDARD.encode(signer.sign(&pae(PAYLOAD_TYPE, &payload)));
        Ok(Self {
            payload: BASE64_STANDARD.encode(payload),
            payload_type: PAYLOAD_TYPE.to_owned(),
            signatures: [Signature { keyid: signer.public()?.id(), sig }],
        })
    }

    /// Its line, without the end of line. Text of one form only: what reads otherwise has been edited.
    pub(super) fn line(&self) -> anyhow::Result<String> {
        Ok(canonical(&serde_json::to_value(self)?))
    }

    /// Reads a line.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(line: &[u8]) -> Result<Self, String> {
        let envelope: Self = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        if envelope.payload_type != PAYLOAD_TYPE {
            return Err(format!("its payload is {:?}, not {PAYLOAD_TYPE}", envelope.payload_type));
        }
        match envelope.line() {
            Ok(canonical) if canonical.as_bytes() == line => Ok(envelope),
            _ => Err("it is not in the one form in which it is written".to_owned()),
        }
    }

    /// The name of the key that it says it was signed with.
    pub(super) fn keyid(&self) -> &str {
        &self.signatures[0].keyid
    }

    pub(super) fn is_signed_by(&self, key: &PublicKey) -> bool {
        let decoded = BASE64_STANDARD
            .decode(&self.payload)
            .ok()
            .zip(BASE64_STANDARD.decode(&self.signatures[0].sig).ok());
        decoded.is_some_and(|(payload, sig)| key.verifies(&pae(&self.payload_type, &payload), &sig))
    }

    /// What it says, whoever signed it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn predicate(&self) -> Result<Predicate, String> {
        let payload = BASE64_STANDARD.decode(&self.payload).map_err(|error| error.to_string())?;
        let read: Result<Statement, _> = serde_json::from_slice(&payload);
        Ok(read.map_err(|error| error.to_string())?.predicate)
    }
}

/// The subjects are the result itself, which is always there, and the manifest of the backup where it is known.
fn statement(predicate: &Predicate) -> serde_json::Result<Value> {
    let named = |name: &str, digest: &str| {
        let (algorithm, hex) = digest.split_once(':').unwrap_or(("sha256", digest));
        json!({ "name": name, "digest": { algorithm: hex } })
    };
    let result = named("result", &sha256(canonical(&predicate.result).as_bytes()));
    let manifest = predicate.facts.manifest_digest.iter().map(|digest| named("backup_manifest", digest));
    let subject: Vec<Value> = std::iter::once(result).chain(manifest).collect();
    Ok(json!({
        "_type": STATEMENT_TYPE,
        "subject": subject,
        "predicateType": PREDICATE_TYPE,
        "predicate": serde_json::to_value(predicate)?,
    }))
}

/// DSSE's pre-authentication encoding: what is signed. The lengths leave no doubt where the type ends.
fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_is_that_of_dsse() {
        // The example of DSSE's protocol.md.
        let expected = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world";
        assert_eq!(pae("http://example.com/HelloWorld", b"hello world"), expected);
    }

    #[test]
    fn a_line_has_one_form() {
        let line = br#"{"payload":"e30=","payloadType":"application/vnd.in-toto+json","signatures":[{"keyid":"k","sig":"cw=="}]}"#;
        assert!(Envelope::parse(line).is_ok());
        let spaced = String::from_utf8_lossy(line).replacen(',', ", ", 1);
        assert!(Envelope::parse(spaced.as_bytes()).unwrap_err().contains("one form"));
        let typed = String::from_utf8_lossy(line).replace("in-toto", "other");
        assert!(Envelope::parse(typed.as_bytes()).unwrap_err().contains("other+json"));
        assert!(Envelope::parse(b"{}").is_err());
    }
}

//! The keywords of connection strings, and what becomes of each.

/// One keyword of libpq's.
#[derive(Debug)]
pub(super) struct Keyword {
    /// As it stands in connection strings and service files.
    pub(super) name: &'static str,
    /// The environment variable that stands in for it.
    pub(super) env: Option<&'static str>,
    pub(super) fate: Fate,
}

/// What becomes of a keyword's value.
#[derive(Debug)]
pub(super) enum Fate {
    /// It is acted on.
    Used,
    /// It does not matter to what omtdb does.
    Harmless,
    /// Ignoring it would silently change what was asked for. `neutral` values ask for nothing.
    Refused { neutral: &'static [&'static str] },
}

const fn used(name: &'static str, env: Option<&'static str>) -> Keyword {
    Keyword { name, env, fate: Fate::Used }
}

const fn harmless(name: &'static str, env: Option<&'static str>) -> Keyword {
    Keyword { name, env, fate: Fate::Harmless }
}

const fn refused(name: &'static str, env: Option<&'static str>, neutral: &'static [&'static str]) -> Keyword {
    Keyword { name, env, fate: Fate::Refused { neutral } }
}

/// libpq's keywords, those of PostgreSQL 18 included.
pub(super) static KEYWORDS: [Keyword; 53] = [
    used("service", Some("PGSERVICE")),
    used("servicefile", Some("PGSERVICEFILE")),
    used("user", Some("PGUSER")),
    used("password", Some("PGPASSWORD")),
    used("passfile", Some("PGPASSFILE")),
    used("channel_binding", Some("PGCHANNELBINDING")),
    used("connect_timeout", Some("PGCONNECT_TIMEOUT")),
    used("dbname", Some("PGDATABASE")),
    used("host", Some("PGHOST")),
    used("hostaddr", Some("PGHOSTADDR")),
    used("port", Some("PGPORT")),
    used("options", Some("PGOPTIONS")),
    used("application_name", Some("PGAPPNAME")),
    used("fallback_application_name", None),
    used("keepalives", None),
    used("keepalives_idle", None),
    used("keepalives_interval", None),
    used("keepalives_count", None),
    used("tcp_user_timeout", None),
    used("sslmode", Some("PGSSLMODE")),
    used("sslnegotiation", Some("PGSSLNEGOTIATION")),
    used("sslcert", Some("PGSSLCERT")),
    used("sslkey", Some("PGSSLKEY")),
    used("sslcertmode", Some("PGSSLCERTMODE")),
    used("sslrootcert", Some("PGSSLROOTCERT")),
    used("sslcrl", Some("PGSSLCRL")),
    used("sslsni", Some("PGSSLSNI")),
    used("ssl_min_protocol_version", Some("PGSSLMINPROTOCOLVERSION")),
    used("ssl_max_protocol_version", Some("PGSSLMAXPROTOCOLVERSION")),
    used("target_session_attrs", Some("PGTARGETSESSIONATTRS")),
    // Sessions are UTF-8, whatever the terminal is.
    harmless("client_encoding", Some("PGCLIENTENCODING")),
    // libpq itself ignores these two.
    harmless("sslcompression", Some("PGSSLCOMPRESSION")),
    harmless("authtype", None),
    // A server that asks for GSSAPI or OAuth is told that omtdb does not speak it.
    harmless("krbsrvname", Some("PGKRBSRVNAME")),
    harmless("gsslib", Some("PGGSSLIB")),
    harmless("gssdelegation", Some("PGGSSDELEGATION")),
    harmless("oauth_issuer", None),
    harmless("oauth_client_id", None),
    harmless("oauth_client_secret", None),
    harmless("oauth_scope", None),
    // An encrypted key is refused where it is read.
    harmless("sslpassword", None),
    harmless("max_protocol_version", Some("PGMAXPROTOCOLVERSION")),
    refused("min_protocol_version", Some("PGMINPROTOCOLVERSION"), &["", "3.0"]),
    refused("gssencmode", Some("PGGSSENCMODE"), &["", "disable", "prefer"]),
    refused("sslcrldir", Some("PGSSLCRLDIR"), &[""]),
    refused("requirepeer", Some("PGREQUIREPEER"), &[""]),
    refused("require_auth", Some("PGREQUIREAUTH"), &[""]),
    refused("load_balance_hosts", Some("PGLOADBALANCEHOSTS"), &["", "disable"]),
    refused("replication", None, &["", "false", "off", "no", "0"]),
    refused("scram_client_key", None, &[""]),
    refused("scram_server_key", None, &[""]),
    refused("sslkeylogfile", None, &[""]),
    refused("requiressl", None, &["", "0"]),
];

pub(super) fn find(name: &str) -> Option<&'static Keyword> {
    KEYWORDS.iter().find(|keyword| keyword.name == name)
}

/// The keyword that `name` is probably meant to be.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    // Below this, suggestions look random (0 is unlike, 1 is equal).
    const ALIKE: f64 = 0.85;
    KEYWORDS
        .iter()
        .map(|keyword| (strsim::jaro_winkler(name, keyword.name), keyword.name))
        .filter(|&(alike, _)| alike >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// Whether the value of keyword `name` must never be shown.
pub(super) fn is_secret(name: &str) -> bool {
    matches!(
        name,
        "password" | "sslpassword" | "oauth_client_secret" | "scram_client_key" | "scram_server_key"
    )
}

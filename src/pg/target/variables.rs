//! A target as the environment of PostgreSQL's own programs.

use super::{ChannelBinding, Endpoint, Roots, SessionAttrs, Target, TlsVersion};

impl Target {
    /// The variables that lead libpq to this target, the password among them: for a child's environment and nowhere else.
    ///
    /// libpq takes one password for all hosts: it is that of the first host that has one. Keepalive settings have no
    /// variables.
    #[must_use]
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let list = |item: fn(&Endpoint) -> String| self.hosts.iter().map(item).collect::<Vec<_>>().join(",");
        let mut all = vec![
            ("PGHOST", list(host)),
            ("PGPORT", list(|endpoint| endpoint.port().to_string())),
            ("PGUSER", self.user.clone()),
            ("PGDATABASE", self.dbname.clone()),
            ("PGCHANNELBINDING", channel_binding(self.channel_binding).to_owned()),
            ("PGTARGETSESSIONATTRS", session_attrs(self.session).to_owned()),
        ];
        let addrs = list(addr);
        let password = self.hosts.iter().find_map(|host| self.password_for(host));
        let optional = [
            ("PGHOSTADDR", Some(addrs).filter(|addrs| addrs.bytes().any(|b| b != b','))),
            ("PGPASSWORD", password.map(|(secret, _)| secret.expose().to_owned())),
            ("PGOPTIONS", self.options.clone()),
            ("PGAPPNAME", self.application_name.clone()),
            ("PGCONNECT_TIMEOUT", self.connect_timeout.map(|limit| limit.as_secs().max(1).to_string())),
        ];
        all.extend(optional.into_iter().filter_map(|(name, value)| Some((name, value?))));
        all.extend(self.tls_variables());
        all
    }

    fn tls_variables(&self) -> Vec<(&'static str, String)> {
        let tls = &self.tls;
        let path = |path: &std::path::Path| path.display().to_string();
        let roots = match &tls.roots {
            Roots::File(file) => Some(path(file)),
            Roots::System => Some("system".to_owned()),
            Roots::Unknown => None,
        };
        [
            ("PGSSLMODE", Some(tls.mode.word().to_owned())),
            ("PGSSLNEGOTIATION", tls.direct.then(|| "direct".to_owned())),
            ("PGSSLROOTCERT", roots),
            ("PGSSLCRL", tls.crl.as_deref().map(path)),
            ("PGSSLCERT", tls.cert.as_deref().map(path)),
            ("PGSSLKEY", tls.key.as_deref().map(path)),
            ("PGSSLCERTMODE", tls.cert.is_none().then(|| "disable".to_owned())),
            ("PGSSLSNI", (!tls.sni).then(|| "0".to_owned())),
            ("PGSSLMINPROTOCOLVERSION", Some(tls_version(tls.oldest).to_owned())),
            ("PGSSLMAXPROTOCOLVERSION", Some(tls_version(tls.newest).to_owned())),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
    }
}

fn host(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Socket { dir, .. } => dir.display().to_string(),
        Endpoint::Tcp { name, .. } => name.clone().unwrap_or_default(),
    }
}

fn addr(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Socket { .. } | Endpoint::Tcp { addr: None, .. } => String::new(),
        Endpoint::Tcp { addr: Some(addr), .. } => addr.to_string(),
    }
}

fn channel_binding(binding: ChannelBinding) -> &'static str {
    match binding {
        ChannelBinding::Disable => "disable",
        ChannelBinding::Prefer => "prefer",
        ChannelBinding::Require => "require",
    }
}

fn session_attrs(session: SessionAttrs) -> &'static str {
    match session {
        SessionAttrs::Any => "any",
        SessionAttrs::ReadWrite => "read-write",
        SessionAttrs::ReadOnly => "read-only",
        SessionAttrs::Primary => "primary",
        SessionAttrs::Standby => "standby",
        SessionAttrs::PreferStandby => "prefer-standby",
    }
}

fn tls_version(version: TlsVersion) -> &'static str {
    match version {
        TlsVersion::V12 => "TLSv1.2",
        TlsVersion::V13 => "TLSv1.3",
    }
}

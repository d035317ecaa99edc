//! Tables of environments and what they lead to.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;

use super::*;

/// A machine: variables and files. The user is `os`, at home in `/home/os`.
#[derive(Default)]
struct Machine {
    env: BTreeMap<String, String>,
    files: BTreeMap<PathBuf, ConfigFile>,
}

impl Machine {
    fn new(env: &[(&str, &str)]) -> Self {
        let env = env.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { env, files: BTreeMap::new() }
    }

    fn file(mut self, path: &str, mode: u32, text: &str) -> Self {
        self.files.insert(path.into(), ConfigFile { text: text.to_owned(), mode, is_plain: true });
        self
    }

    fn resolve(&self, url: Option<&str>) -> Result<Resolved, String> {
        let read = |path: &Path| self.files.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into());
        let around = Surroundings {
            env: self.env.clone(),
            home: Some("/home/os".into()),
            os_user: Some("os".to_owned()),
            read: &read,
        };
        resolve(url.map(Secret::new).as_ref(), &around).map_err(|error| error.to_string())
    }

    #[track_caller]
    fn target(&self, url: Option<&str>) -> Target {
        let resolved = self.resolve(url).unwrap();
        assert_eq!(resolved.warnings, [""; 0]);
        resolved.target
    }
}

/// What `url` alone leads to, as `user@place/dbname`.
#[track_caller]
fn leads_to(url: &str, expected: &str) {
    assert_eq!(Machine::default().target(Some(url)).to_string(), expected, "{url}");
}

/// What a password is, for the first host.
fn password(target: &Target) -> Option<(String, String)> {
    target.password_for(&target.hosts[0]).map(|(secret, from)| (secret.expose().to_owned(), from))
}

#[test]
fn urls_follow_libpq() {
    for (url, expected) in [
        ("postgresql://", "os@/var/run/postgresql/.s.PGSQL.5432,/tmp/.s.PGSQL.5432/os"),
        ("postgres://db", "os@db:5432/os"),
        ("postgresql://joe@db:1234/app", "joe@db:1234/app"),
        ("postgresql://joe:x@db/app", "joe@db:5432/app"),
        ("postgresql://joe@/app", "joe@/var/run/postgresql/.s.PGSQL.5432,/tmp/.s.PGSQL.5432/app"),
        ("postgresql:///app?host=/run/pg&port=6", "os@/run/pg/.s.PGSQL.6/app"),
        ("postgresql://%2Frun%2Fpg:7/app", "os@/run/pg/.s.PGSQL.7/app"),
        ("postgresql://[::1]:9/app", "os@[::1]:9/app"),
        ("postgresql://[2001:db8::1]/app?user=ann", "ann@[2001:db8::1]:5432/app"),
        ("postgresql://a:1,b,c:3/app", "os@a:1,b:5432,c:3/app"),
        ("postgresql://a,b/app?port=7", "os@a:7,b:7/app"),
        ("postgresql://joe%40corp:p%2Fw@db/my%20app", "joe@corp@db:5432/my app"),
        ("postgresql://db/app?user=joe&user=ann", "ann@db:5432/app"),
        ("postgresql://db?dbname=app&", "os@db:5432/app"),
        ("postgresql://name/app?hostaddr=10.0.0.1", "os@name:5432/app"),
    ] {
        leads_to(url, expected);
    }
}

#[test]
fn pairs_follow_libpq() {
    for (text, expected) in [
        ("", "os@/var/run/postgresql/.s.PGSQL.5432,/tmp/.s.PGSQL.5432/os"),
        ("host=db", "os@db:5432/os"),
        (" host = db\tport\n=\n7 ", "os@db:7/os"),
        ("host=db dbname='my app' user='o\\'neil'", "o'neil@db:5432/my app"),
        (r"host=db dbname=my\ app user=a\\b", r"a\b@db:5432/my app"),
        ("host=db dbname=''user=ann", "ann@db:5432/ann"),
        ("host=a,b port=1,2 dbname=x", "os@a:1,b:2/x"),
        ("host=a,b port=1,", "os@a:1,b:5432/os"),
        ("hostaddr=::1", "os@[::1]:5432/os"),
        ("host=/run/pg,db", "os@/run/pg/.s.PGSQL.5432,db:5432/os"),
        ("host=db host=other", "os@other:5432/os"),
    ] {
        leads_to(text, expected);
    }
}

#[test]
fn the_first_to_say_something_is_heard() {
    let env = [
        ("DATABASE_URL", "host=durl user=dur"),
        ("PGHOST", "envhost"),
        ("PGUSER", "env"),
        ("PGPORT", "77"),
        ("PGDATABASE", "envdb"),
        ("PGSERVICE", "s"),
    ];
    let machine = Machine::new(&env).file("/home/os/.pg_service.conf", 0o644, "[s]\nport=88\nuser=svc\n");
    assert_eq!(machine.target(Some("host=cli")).to_string(), "svc@cli:88/envdb");
    assert_eq!(machine.target(None).to_string(), "dur@durl:88/envdb");
    assert_eq!(machine.target(None).user_from, Source::DatabaseUrl);
    let service = Source::Service { name: "s".to_owned(), file: "/home/os/.pg_service.conf".into() };
    assert_eq!(machine.target(Some("host=cli")).user_from, service);
    let plain = Machine::new(&env[1..5]);
    assert_eq!(plain.target(None).to_string(), "env@envhost:77/envdb");
    assert_eq!(plain.target(None).dbname_from, Source::Variable("PGDATABASE"));
    assert_eq!(Machine::default().target(None).user_from, Source::OsUser);
    assert_eq!(Machine::default().target(Some("user=ann")).dbname_from, Source::User);
    let empty = Machine::new(&[("DATABASE_URL", ""), ("PGHOST", "db"), ("PGPORT", ""), ("PGDATABASE", "")]);
    assert_eq!(empty.target(None).to_string(), "os@db:5432/os");
}

#[test]
fn services_are_looked_up_at_home_then_in_the_system() {
    let system = "/etc/postgresql-common/pg_service.conf";
    let home = "/home/os/.pg_service.conf";
    let machine = || Machine::default().file(system, 0o644, "[s]\nhost=system\n[t]\nhost=t\n");
    assert_eq!(machine().target(Some("service=s")).to_string(), "os@system:5432/os");
    let both = machine().file(home, 0o644, "[s]\nhost=home\n");
    assert_eq!(both.target(Some("postgresql:///?service=s")).to_string(), "os@home:5432/os");
    assert_eq!(both.target(Some("service=t")).to_string(), "os@t:5432/os");
    let elsewhere = Machine::new(&[("PGSYSCONFDIR", "/sys"), ("PGSERVICE", "s")]);
    let elsewhere = elsewhere.file("/sys/pg_service.conf", 0o644, "[s]\nhost=sys\nsslmode=require\n");
    assert_eq!(elsewhere.target(None).to_string(), "os@sys:5432/os");
    assert_eq!(elsewhere.target(None).tls.mode, SslMode::Require);
    let named = Machine::new(&[("PGSERVICEFILE", "/s.conf")]).file("/s.conf", 0o644, "[s]\nhost=named\n");
    assert_eq!(named.target(Some("service=s")).to_string(), "os@named:5432/os");
    let error = Machine::new(&[("PGSERVICEFILE", "/no")]).resolve(Some("service=s")).unwrap_err();
    assert!(error.contains("/no"), "{error}");
    let error = machine().resolve(Some("service=u")).unwrap_err();
    assert!(error.contains("no service \"u\""), "{error}");
}

#[test]
fn passwords_come_from_the_first_who_has_one() {
    let file = "db:5432:app:joe:filed\nlocalhost:*:app:joe:local\n10.0.0.1:*:*:*:addressed\n";
    let machine = |env: &[(&str, &str)]| Machine::new(env).file("/home/os/.pgpass", 0o600, file);
    let found = |machine: &Machine, url: &str| password(&machine.target(Some(url)));
    let some = |secret: &str, from: &str| Some((secret.to_owned(), from.to_owned()));
    let plain = machine(&[]);
    assert_eq!(found(&plain, "postgresql://joe:given@db/app"), some("given", "--url"));
    assert_eq!(found(&plain, "postgresql://joe@db/app"), some("filed", "line 1 of /home/os/.pgpass"));
    assert_eq!(found(&plain, "user=joe dbname=app"), some("local", "line 2 of /home/os/.pgpass"));
    assert_eq!(found(&plain, "user=joe dbname=app host=/tmp"), some("local", "line 2 of /home/os/.pgpass"));
    assert_eq!(found(&plain, "user=joe dbname=app host=/run/pg"), None);
    assert_eq!(found(&plain, "hostaddr=10.0.0.1"), some("addressed", "line 3 of /home/os/.pgpass"));
    assert_eq!(found(&plain, "host=x hostaddr=10.0.0.1"), None, "the name counts where there is one");
    let env = machine(&[("PGPASSWORD", "env")]);
    assert_eq!(found(&env, "postgresql://joe@db/app"), some("env", "PGPASSWORD"));
    let empty = machine(&[("PGPASSWORD", "")]);
    assert_eq!(found(&empty, "postgresql://joe@db/app"), some("filed", "line 1 of /home/os/.pgpass"));
    let other = Machine::new(&[("PGPASSFILE", "/p")]).file("/p", 0o400, "*:*:*:*:p");
    assert_eq!(found(&other, "host=db"), some("p", "line 1 of /p"));
    let target = plain.target(Some("postgresql://joe@db/app"));
    assert_eq!(password(&target.with_dbname("other")), None, "another database is another line");
}

#[test]
fn a_password_file_that_others_may_read_is_ignored_aloud() {
    for mode in [0o644, 0o640, 0o604, 0o620] {
        let machine = Machine::default().file("/home/os/.pgpass", mode, "*:*:*:*:secret");
        let resolved = machine.resolve(Some("host=db")).unwrap();
        assert_eq!(resolved.target.password, Password::None, "{mode:o}");
        assert!(resolved.warnings[0].contains("chmod 0600 /home/os/.pgpass"), "{:?}", resolved.warnings);
    }
    let missing = Machine::new(&[("PGPASSFILE", "/no")]).resolve(None).unwrap();
    assert!(missing.warnings[0].contains("/no"), "{:?}", missing.warnings);
}

#[test]
fn encryption_is_asked_for_as_with_libpq() {
    let tls = |text: &str| Machine::default().target(Some(text)).tls;
    let default = tls("");
    assert_eq!(default.mode, SslMode::Prefer);
    assert_eq!(default.roots, Roots::File("/home/os/.postgresql/root.crt".into()));
    assert_eq!(default.cert, Some("/home/os/.postgresql/postgresql.crt".into()));
    assert_eq!(default.key, Some("/home/os/.postgresql/postgresql.key".into()));
    assert_eq!(default.crl, Some("/home/os/.postgresql/root.crl".into()));
    assert_eq!(tls("postgresql://db?ssl=true").mode, SslMode::Require);
    assert_eq!(tls("sslrootcert=system").mode, SslMode::VerifyFull);
    assert_eq!(tls("sslrootcert=/ca sslmode=verify-ca").roots, Roots::File("/ca".into()));
    assert_eq!(tls("sslcertmode=disable sslcert=/c").cert, None);
    assert_eq!(tls("ssl_min_protocol_version=tlsv1.3").oldest, TlsVersion::V13);
    assert!(tls("sslmode=require sslnegotiation=direct").direct && !tls("sslsni=0").sni);
    assert_eq!(Machine::new(&[("PGREQUIRESSL", "1")]).target(None).tls.mode, SslMode::Require);
    let env = Machine::new(&[("PGSSLMODE", "verify-full"), ("PGSSLROOTCERT", "/ca"), ("PGSSLCERT", "/c")]);
    let found = env.target(Some("sslkey=/k")).tls;
    assert_eq!((found.mode, found.roots), (SslMode::VerifyFull, Roots::File("/ca".into())));
    assert_eq!((found.cert, found.key), (Some("/c".into()), Some("/k".into())));
}

#[test]
fn the_rest_is_understood() {
    let target = Machine::default().target(Some(
        "application_name=a fallback_application_name=b options='-c x=y' connect_timeout=5 keepalives=0 \
         keepalives_idle=60 tcp_user_timeout=250 target_session_attrs=read-write channel_binding=require",
    ));
    assert_eq!(target.application_name.as_deref(), Some("a"));
    assert_eq!(target.options.as_deref(), Some("-c x=y"));
    assert_eq!(target.connect_timeout, Some(Duration::from_secs(5)));
    assert!(target.keepalive.off && target.keepalive.idle == Some(Duration::from_secs(60)));
    assert_eq!(target.keepalive.user_timeout, Some(Duration::from_millis(250)));
    assert_eq!((target.session, target.channel_binding), (SessionAttrs::ReadWrite, ChannelBinding::Require));
    let target =
        Machine::default().target(Some("fallback_application_name=b connect_timeout=0 gssencmode=prefer"));
    assert_eq!((target.application_name.as_deref(), target.connect_timeout), (Some("b"), None));
}

#[test]
fn what_is_not_understood_is_named() {
    for (text, says) in [
        ("hots=db", "--url: there is no connection keyword \"hots\"; did you mean \"host\"?"),
        ("postgresql://db?sslmod=x", "did you mean \"sslmode\"?"),
        ("xyzzy=1", "no connection keyword \"xyzzy\""),
        ("host", "neither a postgresql:// URL nor key=value pairs"),
        ("mysql://joe@db/app", "begins with postgresql://"),
        ("dbname='x", "closing '"),
        ("postgresql://[::1/app", "does not end with \"]\""),
        ("postgresql://[]/app", "[address]"),
        ("postgresql://db/app?x", "key=value"),
        ("postgresql://db/app?user=a=b", "second \"=\""),
        ("postgresql://db/%zz", "\"%\" in the dbname"),
        ("postgresql://db/%00", "%00"),
        ("postgresql://db/%ff", "not UTF-8"),
        ("port=x", "port (--url): \"x\" is not a port"),
        ("port=0", "is not a port"),
        ("port=65536", "is not a port"),
        ("host=a,b port=1,2,3", "3 ports do not match 2 hosts"),
        ("host=a hostaddr=1.1.1.1,2.2.2.2", "1 hosts do not match 2 hostaddr values"),
        ("hostaddr=db", "is not an IPv4 or IPv6 address"),
        ("host=@abstract", "abstract"),
        ("sslmode=on", "\"on\" is not one of disable, allow, prefer"),
        ("connect_timeout=soon", "is not a whole number"),
        ("user=''", "user (--url) is empty"),
        ("gssencmode=require", "does not act on gssencmode"),
        ("require_auth=none", "does not act on require_auth"),
        ("load_balance_hosts=random", "does not act on"),
        ("sslmode=prefer sslnegotiation=direct", "sslnegotiation=direct needs"),
        ("sslmode=require sslrootcert=system", "needs sslmode=verify-full"),
        ("ssl_max_protocol_version=TLSv1.1", "TLSv1.2 or TLSv1.3"),
        ("ssl_min_protocol_version=TLSv1.3 ssl_max_protocol_version=TLSv1.2", "is older than"),
    ] {
        let error = Machine::default().resolve(Some(text)).unwrap_err();
        assert!(error.contains(says), "{text}: {error}");
    }
    let error = Machine::new(&[("PGPORT", "x")]).resolve(None).unwrap_err();
    assert!(error.starts_with("PGPORT: \"x\""), "{error}");
    let error = Machine::new(&[("DATABASE_URL", "hots=x")]).resolve(None).unwrap_err();
    assert!(error.starts_with("DATABASE_URL: "), "{error}");
}

#[test]
fn no_message_holds_a_password_that_was_written_wrongly() {
    for text in [
        "postgresql://joe:hush@hush@db/app",
        "postgresql://joe:hush/hush@db/app",
        "postgresql://joe:1/hush@db/app",
        "postgresql://joe:hush?hush/hush@db/app",
        "postgresql://joe:x@hush?hush=hush@db/app",
        "postgresql://joe:hush%zz@db/app",
        "postgresql://joe:hush%00@db/app",
        "postgresql://joe:hush",
        "postgresql://joe:[hush@db:5432/app?port=hush&nonsense",
        "mysql://joe:hush@db/app",
        "user=joe password=x hush",
        "user=joe password=x hush=hush",
        "user=joe password='x'hush'",
        "user=joe password='hush",
        "user=joe sslpassword=x hush=1",
    ] {
        match Machine::default().resolve(Some(text)) {
            Err(error) => assert!(!error.contains("hush"), "{text}: {error}"),
            Ok(resolved) => panic!("{text} leads to {}", resolved.target),
        }
    }
}

#[test]
fn a_target_never_shows_its_password() {
    let machine = Machine::default().file("/home/os/.pgpass", 0o600, "*:*:*:*:hush");
    for url in ["postgresql://joe:hush@db/app", "host=db"] {
        let target = machine.target(Some(url));
        assert!(password(&target).is_some_and(|(secret, _)| secret == "hush"));
        assert!(!format!("{target} {target:?} {target:#?}").contains("hush"));
    }
}

#[test]
fn a_targets_variables_lead_to_the_same_target() {
    let pass = "b:2:app:joe:two\n";
    for text in [
        "host=a,b hostaddr=10.0.0.1, port=1,2 user=joe dbname=app options='-c x=y' application_name=n",
        "host=/run/pg,db user=joe connect_timeout=3 sslmode=verify-full sslcertmode=disable sslsni=0",
        "hostaddr=::1 password=x sslmode=verify-ca sslrootcert=/ca sslcert=/c sslkey=/k sslcrl=/l",
        "sslrootcert=system ssl_min_protocol_version=TLSv1.3 target_session_attrs=primary host=h",
        "host=h sslmode=require sslnegotiation=direct channel_binding=disable",
    ] {
        let target = Machine::default().file("/home/os/.pgpass", 0o600, pass).target(Some(text));
        let env: Vec<_> = target.variables();
        let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let again = Machine::new(&env).target(None);
        assert_eq!((&again.hosts, &again.tls, &again.options), (&target.hosts, &target.tls, &target.options));
        assert_eq!((&again.user, &again.dbname), (&target.user, &target.dbname));
        assert_eq!((again.connect_timeout, again.session), (target.connect_timeout, target.session));
        assert_eq!(
            (again.application_name, again.channel_binding),
            (target.application_name, target.channel_binding)
        );
    }
}

/// `value` as it is written in a connection string.
fn in_quotes(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

fn percent_encoded(value: &str) -> String {
    value.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

proptest! {
    #[test]
    fn any_value_survives_quoting(user in "[^\0]{1,12}", secret in "[^\0]{1,12}", dbname in "[^\0]{1,12}") {
        let (u, p, d) = (in_quotes(&user), in_quotes(&secret), in_quotes(&dbname));
        let (eu, ep, ed) = (percent_encoded(&user), percent_encoded(&secret), percent_encoded(&dbname));
        for text in [
            format!("user={u}password = {p} dbname={d} host=db"),
            format!("postgresql://{eu}:{ep}@db/{ed}"),
            format!("postgres://db?dbname={ed}&user={eu}&password={ep}"),
        ] {
            let target = Machine::default().target(Some(&text));
            prop_assert_eq!((&target.user, &target.dbname), (&user, &dbname));
            prop_assert_eq!(password(&target).map(|(secret, _)| secret), Some(secret.clone()));
        }
    }

    #[test]
    fn no_text_breaks_the_parser(text in "(postgresql://)?[ -~]{0,40}") {
        // Whether it is understood does not matter; that it comes to an end does.
        drop(Machine::default().resolve(Some(&text)));
    }

    #[test]
    fn any_password_survives_the_password_file(secret in "[^\0\r\n]{0,12}", host in "[^\0\r\n]{1,12}") {
        let escaped = |text: &str| text.replace('\\', "\\\\").replace(':', "\\:");
        let line = format!("{}:*:*:*:{}", escaped(&host), escaped(&secret));
        prop_assume!(!line.starts_with('#'));
        let file = PassFile::parse("/p".into(), &line);
        let found = file.find(&host, 5432, "app", "joe").map(|(secret, _)| secret.expose().to_owned());
        prop_assert_eq!(found, Some(secret));
    }
}

//! `auth.sessions`, `auth.tokens`, `auth.login_events`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::datagen::dist::between;
use crate::datagen::model::{DAY, Micros, Model, NOW};
use crate::datagen::random::Draws;
use crate::datagen::row::Rows;
use crate::datagen::table::Table;
use crate::datagen::words::words;

/// Sessions, tokens and events are of the last ninety days.
const SINCE: Micros = NOW - 90 * DAY;

pub(in crate::datagen) fn write_session(model: &Model, index: u64, rows: &mut Rows) {
    let mut draws = model.draws(Table::Sessions, index);
    let secret = secret(&mut draws);
    let user = model.user(model.skewed_user(draws.bits()));
    let created = between(user.signup().max(SINCE), NOW, draws.bits());
    let expires = created + 30 * DAY;
    rows.begin();
    rows.uuid(model.row_id(Table::Sessions, index));
    rows.uuid(user.id());
    rows.bytes(&secret);
    rows.time(created);
    rows.time(expires);
    rows.maybe_time(draws.chance(6_554).then(|| between(created, expires.min(NOW), draws.bits())));
    rows.inet(address(&mut draws));
    rows.text(draws.word(&words().agents));
    rows.end();
}

pub(in crate::datagen) fn write_token(model: &Model, index: u64, rows: &mut Rows) {
    let mut draws = model.draws(Table::Tokens, index);
    let secret = secret(&mut draws);
    let user = model.user(model.skewed_user(draws.bits()));
    let created = between(user.signup().max(SINCE), NOW, draws.bits());
    let (kind, lasts) =
        *draws.pick(&[("email-verification", 7 * DAY), ("password-reset", DAY / 24), ("api", 365 * DAY)]);
    let end = (created + lasts).min(NOW);
    rows.begin();
    rows.uuid(model.row_id(Table::Tokens, index));
    rows.uuid(user.id());
    rows.text(kind);
    rows.bytes(&secret);
    rows.time(created);
    rows.time(created + lasts);
    rows.maybe_time(draws.chance(39_322).then(|| between(created, end, draws.bits())));
    rows.maybe_time(draws.chance(3_277).then(|| between(created, end, draws.bits())));
    rows.end();
}

/// When event `index` happened: they are in the order of time.
pub(in crate::datagen) fn occurred(model: &Model, index: u64) -> Micros {
    let step = u64::MAX / Table::LoginEvents.entities(model);
    between(SINCE, NOW, index * step)
}

pub(in crate::datagen) fn write_login(model: &Model, index: u64, rows: &mut Rows) {
    let mut draws = model.draws(Table::LoginEvents, index);
    let occurred = occurred(model, index);
    let user = model.user(model.user_by(occurred, draws.bits()));
    let outcome = match draws.below(100) {
        // Whoever has not signed up yet is unknown.
        _ if user.signup() > occurred => "unknown-user",
        0..4 => "unknown-user",
        4..11 => "wrong-password",
        11 => "locked",
        _ => "success",
    };
    rows.begin();
    rows.uuid(model.row_id(Table::LoginEvents, index));
    rows.time(occurred);
    if outcome == "unknown-user" {
        // A name that is no user's: theirs end in digits.
        rows.null();
        rows.pieces([draws.word(&words().first), "@", draws.word(&words().providers)]);
    } else {
        rows.uuid(user.id());
        rows.text(&user.email());
    }
    rows.inet(address(&mut draws));
    rows.text(draws.word(&words().agents));
    rows.text(outcome);
    rows.end();
}

/// What stands for the SHA-256 of a secret. The first draw of an entity is a bijection of it, so no two are equal.
fn secret(draws: &mut Draws) -> [u8; 32] {
    let mut bytes = [0; 32];
    for piece in bytes.as_chunks_mut::<8>().0 {
        *piece = draws.bits().to_be_bytes();
    }
    bytes
}

fn address(draws: &mut Draws) -> IpAddr {
    let bits = draws.bits();
    let [a, b, c, d, e, f, g, h] = bits.to_be_bytes();
    if draws.chance(19_661) {
        // The prefix reserved for documentation.
        let words = [a, b, c, d].map(u16::from);
        IpAddr::V6(Ipv6Addr::new(
            0x2001,
            0xdb8,
            words[0],
            words[1],
            words[2],
            words[3],
            u16::from(e) << 8 | u16::from(f),
            u16::from(g),
        ))
    } else {
        // Multicast and reserved addresses begin at 224.
        IpAddr::V4(Ipv4Addr::new(1 + a % 223, h, c, d))
    }
}

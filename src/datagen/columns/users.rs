//! `users.users`.

use super::soon;
use crate::datagen::dist::between;
use crate::datagen::model::{Model, NOW};
use crate::datagen::random::Draws;
use crate::datagen::row::Rows;
use crate::datagen::table::Table;

const LOCALES: [&str; 6] = ["en-GB", "en-US", "de-DE", "fr-FR", "pt-BR", "ja-JP"];
const THEMES: [&str; 3] = ["dark", "light", "system"];

pub(in crate::datagen) fn write(model: &Model, index: u64, rows: &mut Rows) {
    let user = model.user(index);
    let mut draws = model.draws(Table::Users, index);
    rows.begin();
    rows.uuid(user.id());
    rows.text(&user.email());
    rows.text(&user.username());
    rows.text(&password_hash(&mut draws));
    rows.text(match draws.below(10_000) {
        0..5 => "admin",
        5..50 => "moderator",
        _ => "user",
    });
    rows.json(|json| {
        json.text("theme", &[draws.word(&THEMES)]);
        json.text("locale", &[draws.word(&LOCALES)]);
        json.bool("weekly_digest", draws.chance(19_661));
    });
    rows.time(user.signup());
    rows.time(between(user.signup(), NOW, soon(draws.bits())));
    rows.end();
}

/// A well-formed argon2id string with the parameters OWASP recommends. Salt and hash are random: it opens to no password.
fn password_hash(draws: &mut Draws) -> String {
    let mut random = [0; 48];
    for piece in random.as_chunks_mut::<8>().0 {
        *piece = draws.bits().to_be_bytes();
    }
    let (salt, hash) = random.split_at(16);
    format!("$argon2id$v=19$m=19456,t=2,p=1${}${}", base64(salt), base64(hash))
}

/// Base64 without padding, as PHC strings have it.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let triple = |chunk: &[u8]| {
        let word =
            chunk.iter().enumerate().fold(0u32, |word, (i, &byte)| word | u32::from(byte) << (16 - 8 * i));
        let digits = [18, 12, 6, 0].map(|shift| char::from(DIGITS[(word >> shift & 63) as usize]));
        digits.into_iter().take(chunk.len() + 1)
    };
    bytes.chunks(3).flat_map(triple).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_rfc_4648_without_padding() {
        for (bytes, text) in [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!((base64(&[0xFF; 16]).len(), base64(&[0xFF; 32]).len()), (22, 43));
    }
}

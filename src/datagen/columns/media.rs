//! `media.media`, `media.external_links`, `media.relationships`.

use super::{soon, write_text};
use crate::datagen::dist::between;
use crate::datagen::json::Json;
use crate::datagen::model::{Kind, Medium, Model, NOW};
use crate::datagen::random::Draws;
use crate::datagen::row::Rows;
use crate::datagen::table::Table;
use crate::datagen::words::words;

const FICTION: [&str; 8] =
    ["fantasy", "science_fiction", "crime", "romance", "horror", "historical", "comedy", "drama"];
const PLAY: [&str; 8] =
    ["action", "adventure", "puzzle", "racing", "role_playing", "simulation", "sports", "strategy"];
const SOUND: [&str; 8] =
    ["classical", "electronic", "folk", "hip_hop", "jazz", "podcast", "rock", "spoken_word"];
const PLATFORMS: [&str; 8] = ["android", "ios", "linux", "mac", "pc", "playstation", "switch", "xbox"];
const ENGINES: [&str; 5] = ["Unity", "Unreal Engine", "Godot", "Source", "in-house"];
const EVENTS: [&str; 5] = ["concert", "exhibition", "festival", "play", "screening"];

fn genres(kind: Kind) -> &'static [&'static str; 8] {
    match kind {
        Kind::Book | Kind::Movie | Kind::Series | Kind::Event => &FICTION,
        Kind::Game => &PLAY,
        Kind::Audio => &SOUND,
    }
}

/// One to `most` different ones of `choices`, in their order.
fn some(draws: &mut Draws, choices: &'static [&'static str; 8], most: u64) -> Vec<&'static str> {
    // A bit for each; as many draws as are wanted, some of which hit the same.
    let chosen = (0..=draws.below(most)).fold(0u8, |chosen, _| chosen | 1 << draws.below(8));
    choices.iter().enumerate().filter(|(i, _)| chosen >> i & 1 == 1).map(|(_, choice)| *choice).collect()
}

pub(in crate::datagen) fn write(model: &Model, index: u64, rows: &mut Rows) {
    let medium = model.media(index);
    let mut draws = model.draws(Table::Media, index);
    let (kind, entered) = (medium.kind(), medium.entered());
    let genres = some(&mut draws, genres(kind), 3);
    rows.begin();
    rows.uuid(medium.id());
    rows.text(&medium.external_id());
    rows.text(kind.name());
    rows.ltree(&[kind.name(), genres[0]]);
    rows.pieces(medium.title_parts());
    rows.text(draws.word(&words().countries));
    rows.texts(&creators(&mut draws));
    rows.text(&format!("https://covers.omnimediatrak.example/{:09}.jpg", medium.number()));
    write_text(&mut draws, 8, 90, rows);
    rows.json(|json| attributes(&medium, &genres, &mut draws, json));
    rows.time(entered);
    rows.time(between(entered, NOW, soon(draws.bits())));
    rows.end();
}

fn creators(draws: &mut Draws) -> Vec<String> {
    let person =
        |draws: &mut Draws| format!("{} {}", draws.word(&words().given), draws.word(&words().family));
    (0..=draws.below(3)).map(|_| person(draws)).collect()
}

fn company(draws: &mut Draws) -> [&'static str; 3] {
    [draws.word(&words().last), " ", draws.word(&words().companies)]
}

fn attributes(medium: &Medium<'_>, genres: &[&str], draws: &mut Draws, json: &mut Json<'_>) {
    match medium.kind() {
        Kind::Book => {
            json.text("isbn", &[medium.isbn().unwrap_or_default().as_str()]);
            json.texts("genres", genres);
            json.number("edition", 1 + draws.below(6));
            json.text("publisher", &company(draws));
            json.number("page_count", medium.length());
        }
        Kind::Movie | Kind::Series => {
            json.texts("genres", genres);
            json.number("runtime_minutes", medium.length());
        }
        Kind::Game => {
            json.text("engine", &[draws.word(&ENGINES)]);
            json.texts("genres", genres);
            json.texts("platforms", &some(draws, &PLATFORMS, 5));
            json.number("playtime_hours", medium.length());
        }
        Kind::Audio => {
            json.text("label", &company(draws));
            json.texts("genres", genres);
            json.text("narrator", &[draws.word(&words().given), " ", draws.word(&words().family)]);
            json.number("duration_minutes", medium.length());
        }
        Kind::Event => {
            json.text("venue", &[draws.word(&words().last), " Hall"]);
            json.texts("genres", genres);
            json.number("capacity", 100 * (1 + draws.below(200)));
            json.text("event_type", &[draws.word(&EVENTS)]);
        }
    }
}

/// How many catalogues know medium `index`.
pub(in crate::datagen) fn links(model: &Model, index: u64) -> u64 {
    1 + model.draws(Table::ExternalLinks, index).below(2)
}

/// A key carries the number that no other medium has, so (source, key) is unique.
pub(in crate::datagen) fn write_links(model: &Model, index: u64, rows: &mut Rows) {
    let medium = model.media(index);
    let number = medium.number();
    let (source, key) = match medium.kind() {
        Kind::Book => ("openlibrary", format!("OL{number}W")),
        Kind::Movie | Kind::Series => ("imdb", format!("tt{number:08}")),
        Kind::Game => ("igdb", number.to_string()),
        Kind::Audio => ("discogs", format!("r{number}")),
        Kind::Event => ("songkick", number.to_string()),
    };
    let all = [(source, key), ("wikidata", format!("Q{number}"))];
    for (source, key) in all.iter().zip(0..links(model, index)).map(|(link, _)| link) {
        rows.begin();
        rows.uuid(medium.id());
        rows.text(source);
        rows.text(key);
        rows.end();
    }
}

/// Media of one universe: neighbours in the catalogue.
const UNIVERSE: u64 = 6;
/// Their relations: four are a chain of sequels, one is made after the first, one plays in the same world.
const RELATIONS: [(u64, u64, &str); 5] =
    [(0, 1, "sequel"), (1, 2, "sequel"), (2, 3, "sequel"), (4, 0, "adaptation"), (5, 0, "shared-universe")];
/// What a relation of one kind may also be.
const LIKE: [(&str, &str); 2] = [("sequel", "prequel"), ("adaptation", "spin-off")];

/// The most relations that `media` media can have.
pub(in crate::datagen) fn most_relations(media: u64) -> u64 {
    media / UNIVERSE * RELATIONS.len() as u64
}

/// Number of universes among `media` media.
pub(in crate::datagen) fn universes(media: u64) -> u64 {
    media / UNIVERSE
}

pub(in crate::datagen) fn write_relationship(model: &Model, index: u64, rows: &mut Rows) {
    let mut draws = model.draws(Table::Relationships, index);
    let per_universe = RELATIONS.len() as u64;
    let first = model.universe(index / per_universe) * UNIVERSE;
    #[expect(clippy::cast_possible_truncation, reason = "0 to 4")]
    let (from, to, kind) = RELATIONS[(index % per_universe) as usize];
    let (mut medium, mut related) = (model.media(first + from), model.media(first + to));
    let other = LIKE.iter().find(|(usual, _)| *usual == kind).filter(|_| draws.chance(19_661));
    let kind = other.map_or(kind, |(_, other)| other);
    if kind == "prequel" {
        // What the other one is the sequel of.
        (medium, related) = (related, medium);
    }
    rows.begin();
    rows.uuid(medium.id());
    rows.uuid(related.id());
    rows.text(kind);
    if draws.chance(6_554) {
        write_text(&mut draws, 3, 20, rows);
    } else {
        rows.null();
    }
    match draws.below(125) {
        weight @ 0..100 => rows.int2(i16::try_from(weight).unwrap_or(0) + 1),
        _ => rows.null(),
    }
    let both = medium.entered().max(related.entered());
    rows.time(between(both, NOW, soon(draws.bits())));
    rows.end();
}

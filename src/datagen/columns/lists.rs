//! `interaction.user_lists`, `interaction.list_items`, `interaction.smart_lists`.

use super::{soon, write_text};
use crate::datagen::dist::between;
use crate::datagen::json::Json;
use crate::datagen::model::{Kind, Model, NOW};
use crate::datagen::row::Rows;
use crate::datagen::table::Table;
use crate::datagen::words::words;

const KINDS: [Kind; 6] = [Kind::Book, Kind::Movie, Kind::Series, Kind::Game, Kind::Audio, Kind::Event];

pub(in crate::datagen) fn write(model: &Model, index: u64, rows: &mut Rows) {
    let list = model.list(index);
    let mut draws = model.draws(Table::UserLists, index);
    rows.begin();
    rows.uuid(list.id());
    rows.uuid(model.user_id(list.owner()));
    rows.pieces([draws.word(&words().adjectives), " ", draws.word(&words().nouns)]);
    if draws.chance(19_661) {
        write_text(&mut draws, 4, 40, rows);
    } else {
        rows.null();
    }
    rows.bool(draws.chance(13_107));
    rows.text(if list.is_smart() { "smart" } else { "static" });
    if list.is_smart() {
        rows.json(|json| filter(model, index, json));
    } else {
        rows.null();
    }
    rows.time(list.created());
    rows.time(between(list.created(), NOW, soon(draws.bits())));
    rows.end();
}

/// The filter stands in both tables and must be the same.
fn filter(model: &Model, index: u64, json: &mut Json<'_>) {
    let mut draws = model.draws(Table::SmartLists, index);
    json.text("status", &[draws.word(&["planned", "in-progress", "completed", "dropped"])]);
    json.text("media_type", &[draws.pick(&KINDS).name()]);
    json.number("min_rating", 1 + draws.below(10));
}

pub(in crate::datagen) fn write_smart(model: &Model, index: u64, rows: &mut Rows) {
    let list = model.list(index);
    if list.is_smart() {
        rows.begin();
        rows.uuid(list.id());
        rows.json(|json| filter(model, index, json));
        rows.end();
    }
}

pub(in crate::datagen) fn write_items(model: &Model, index: u64, rows: &mut Rows) {
    let list = model.list(index);
    let (id, created) = (list.id(), list.created());
    let mut draws = model.draws(Table::ListItems, index);
    for (position, media) in (0..).zip(list.media()) {
        let medium = model.media(media);
        rows.begin();
        rows.uuid(id);
        rows.uuid(medium.id());
        rows.int4(position);
        rows.time(between(created.max(medium.entered()), NOW, soon(draws.bits())));
        rows.end();
    }
}

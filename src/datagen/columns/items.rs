//! `interaction.user_media`: the table that decides how fast everything is. Nothing here allocates.

use super::{soon, write_text};
use crate::datagen::dist::{between, squared};
use crate::datagen::model::card::snapshot;
use crate::datagen::model::{Micros, Model, NOW, Nature, Odds, Pick};
use crate::datagen::random::{Draws, share};
use crate::datagen::row::Rows;

/// State of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::datagen) enum Status {
    Planned,
    InProgress,
    Completed,
    Dropped,
}

impl Status {
    /// All of them, in the order of their numbers.
    pub(in crate::datagen) const ALL: [Self; 4] =
        [Self::Planned, Self::InProgress, Self::Completed, Self::Dropped];

    pub(in crate::datagen) fn name(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::InProgress => "in-progress",
            Self::Completed => "completed",
            Self::Dropped => "dropped",
        }
    }

    /// Of 65536 items in this state, how many are rated.
    fn rated(self, odds: &Odds) -> u64 {
        match self {
            Self::Planned => 0,
            Self::InProgress => odds.rated[0],
            Self::Completed => odds.rated[1],
            Self::Dropped => odds.rated[2],
        }
    }
}

/// Encodes the row of one item of user `index`.
#[inline]
pub(in crate::datagen) fn write(model: &Model, index: u64, pick: Pick, rows: &mut Rows) {
    let user = model.user(index);
    let (bias, odds) = (user.bias(), model.odds());
    rows.begin();
    rows.uuid(user.id());
    if let Some(card) = model.kept(pick.rank) {
        rows.encoded(&card.id);
        let item = Item::draw(card.nature, pick, bias, odds);
        item.write(odds, rows, |rows| rows.encoded(&card.snapshot));
    } else {
        let medium = model.media(pick.media);
        rows.uuid(medium.id());
        let item = Item::draw(Nature::of(&medium), pick, bias, odds);
        item.write(odds, rows, |rows| rows.json(|json| snapshot(&medium, json)));
    }
    rows.end();
}

/// What becomes of one item of user `index`: its state, and its rating.
pub(in crate::datagen) fn outcome(model: &Model, index: u64, pick: Pick) -> (Status, Option<i16>) {
    let nature = Nature::of(&model.media(pick.media));
    let item = Item::draw(nature, pick, model.user(index).bias(), model.odds());
    (item.status, item.rating)
}

/// What a user has done with one medium.
struct Item {
    status: Status,
    progress: Option<u64>,
    rating: Option<i16>,
    created: Micros,
    started: Option<Micros>,
    completed: Option<Micros>,
    updated: Micros,
    /// Sixteen bits that decide whether there is a note.
    note: u64,
    draws: Draws,
}

impl Item {
    #[inline]
    fn draw(nature: Nature, pick: Pick, bias: f64, odds: &Odds) -> Self {
        let Pick { created, depth, mut draws, .. } = pick;
        // Sixteen bits each decide the state, whether it is rated, and how far it got; the last are for the note.
        let bits = draws.bits();
        let status = status(depth, nature.relative_length, bits >> 48, odds);
        let started = (status != Status::Planned).then(|| between(created, NOW, soon(draws.bits())));
        let completed = started.filter(|_| status == Status::Completed);
        let completed = completed.map(|started| between(started, NOW, soon(draws.bits())));
        let latest = completed.or(started).unwrap_or(created);
        let updated = between(latest, NOW, soon(draws.bits()));
        let rated = bits >> 32 & 0xFFFF < status.rated(odds);
        let centre = centre(nature.quality, depth, odds) + bias;
        let rating = rated.then(|| rating(centre, odds.stretch, draws.bits()));
        let (length, far) = (nature.length, bits >> 16 << 48);
        let progress = match status {
            Status::Planned => None,
            Status::Completed => Some(length),
            Status::InProgress => Some(share(length, far)),
            // Who gives up mostly does so early.
            Status::Dropped => Some(share(length, squared(far))),
        };
        Self { status, progress, rating, created, started, completed, updated, note: bits & 0xFFFF, draws }
    }

    #[inline]
    fn write(mut self, odds: &Odds, rows: &mut Rows, snapshot: impl FnOnce(&mut Rows)) {
        rows.encoded(&odds.states[self.status as usize]);
        match self.progress.map(i32::try_from) {
            Some(Ok(progress)) => rows.int4(progress),
            _ => rows.null(),
        }
        match self.rating {
            Some(rating) => rows.int2(rating),
            None => rows.null(),
        }
        let writes = match (self.status, self.rating) {
            (Status::Planned, _) => odds.notes[0],
            (_, Some(1..=4)) => odds.notes[1],
            _ => odds.notes[2],
        };
        if self.note < writes {
            write_text(&mut self.draws, 3, 60, rows);
        } else {
            rows.null();
        }
        rows.maybe_time(self.started);
        rows.maybe_time(self.completed);
        snapshot(rows);
        rows.time(self.created);
        rows.time(self.updated);
    }
}

/// The state, from 16 random bits. What is popular is planned less and finished more; what is long is dropped more. Shares
/// are those of `odds` on average: the depth is a half, the relative length a third.
#[inline]
fn status(depth: u64, relative_length: u64, draw: u64, odds: &Odds) -> Status {
    let planned = (odds.planned * (49_152 + depth / 2)) >> 16;
    let in_progress = planned + odds.in_progress;
    let dropped = in_progress + odds.dropped * 7 / 10 + share(odds.dropped * 9 / 10, relative_length);
    match draw {
        draw if draw < planned => Status::Planned,
        draw if draw < in_progress => Status::InProgress,
        draw if draw < dropped => Status::Dropped,
        _ => Status::Completed,
    }
}

/// What a medium is rated around: what is popular is better on average.
#[inline]
#[expect(clippy::cast_precision_loss, reason = "a number of 16 bits")]
fn centre(quality: f64, depth: u64, odds: &Odds) -> f64 {
    odds.mean + quality + 1.6 * (0.5 - depth as f64 / 65_536.0)
}

/// 1 to 10 around `centre`: four sums of 16 random bits are near enough to a normal deviate.
#[inline]
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "small numbers")]
fn rating(centre: f64, stretch: f64, draw: u64) -> i16 {
    let sum: u64 = (0..4).map(|part| draw >> (16 * part) & 0xFFFF).sum();
    let noise = (sum as f64 / 65_536.0 - 2.0) * stretch;
    (centre + noise + 0.5).clamp(1.0, 10.0) as i16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datagen::Sizes;
    use crate::datagen::shape::{Knob, Preset, Shape};

    fn items(shape: &Shape) -> Vec<(u64, Item)> {
        let model = Model::new(42, Sizes { users: 500, media: 5_000, user_media: 50_000 }, shape);
        let mut all = Vec::new();
        for (index, items) in (0..).zip(model.items_of_users()) {
            let (user, library) = (model.user(index), model.library(index, items));
            for pick in (0..items).map(|number| library.pick(number)) {
                let rank = pick.rank;
                let nature = Nature::of(&model.media(pick.media));
                let item = Item::draw(nature, pick, user.bias(), model.odds());
                assert!(user.signup() <= item.created);
                all.push((rank, item));
            }
        }
        all
    }

    fn fraction(items: &[(u64, Item)], is: impl Fn(&Item) -> bool) -> f64 {
        items.iter().filter(|(_, item)| is(item)).count() as f64 / items.len() as f64
    }

    fn mean_rating(items: &[(u64, Item)], ranks: std::ops::Range<u64>) -> f64 {
        let ratings = items.iter().filter(|(rank, _)| ranks.contains(rank)).filter_map(|(_, i)| i.rating);
        let (n, sum) = ratings.fold((0.0, 0.0), |(n, sum), rating| (n + 1.0, sum + f64::from(rating)));
        sum / n
    }

    #[test]
    fn times_are_in_order() {
        for (_, item) in items(&Shape::default()) {
            let times = [Some(item.created), item.started, item.completed, Some(item.updated), Some(NOW)];
            assert!(times.into_iter().flatten().is_sorted());
            assert_eq!(item.started.is_some(), item.status != Status::Planned);
            assert_eq!(item.completed.is_some(), item.status == Status::Completed);
            assert!(item.rating.is_none() || item.started.is_some());
        }
    }

    #[test]
    fn shares_are_the_presets() {
        for preset in Preset::ALL {
            let shape = preset.shape(5_000);
            let items = items(&shape);
            for (status, knob) in [
                (Status::Planned, Knob::StatusPlanned),
                (Status::InProgress, Knob::StatusInProgress),
                (Status::Dropped, Knob::StatusDropped),
            ] {
                let share = fraction(&items, |item| item.status == status);
                assert!((share - shape.get(knob)).abs() < 0.012, "{preset} {}: {share}", status.name());
            }
            let completed = |item: &Item| item.status == Status::Completed;
            let rated = fraction(&items, |item| completed(item) && item.rating.is_some());
            let rated = rated / fraction(&items, completed);
            assert!((rated - shape.get(Knob::RatingShare)).abs() < 0.012, "{preset} rated {rated}");
            let mean = mean_rating(&items, 0..5_000);
            assert!((mean - shape.get(Knob::RatingMean)).abs() < 0.25, "{preset} rated {mean}");
        }
    }

    #[test]
    fn popular_media_are_rated_higher() {
        let items = items(&Shape::default());
        let (popular, obscure) = (mean_rating(&items, 0..100), mean_rating(&items, 2_000..5_000));
        assert!(popular > obscure + 0.3, "{popular} {obscure}");
    }
}

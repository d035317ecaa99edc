//! `interaction.user_media`: the table that decides how fast everything is. Nothing here allocates.

use super::{soon, write_text};
use crate::datagen::dist::{between, squared};
use crate::datagen::model::{Medium, Micros, Model, NOW};
use crate::datagen::random::{Draws, share};
use crate::datagen::row::Rows;

/// State of an item.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Status {
    Planned,
    InProgress,
    Completed,
    Dropped,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::InProgress => "in-progress",
            Self::Completed => "completed",
            Self::Dropped => "dropped",
        }
    }

    /// Of 65536 items in this state, how many are rated.
    fn rated(self) -> u64 {
        match self {
            Self::Planned => 0,
            Self::InProgress => 9_830,
            Self::Completed => 55_705,
            Self::Dropped => 32_768,
        }
    }
}

/// Encodes the `items` rows of user `index`.
pub(in crate::datagen) fn write(model: &Model, index: u64, items: u64, rows: &mut Rows) {
    let user = model.user(index);
    let (id, signup, bias) = (user.id(), user.signup(), user.bias());
    let draws = model.keys().items.within(index);
    for (position, (rank, media)) in (0..).zip(model.library(index, items)) {
        let medium = model.media(media);
        let depth = share_of(position, items);
        let item = Item::draw(&medium, rank, depth, &Owner { signup, bias }, draws.of(rank));
        rows.begin();
        rows.uuid(id);
        rows.uuid(medium.id());
        item.write(&medium, rows);
        rows.end();
    }
}

/// `part` of `whole` as 16 bits: libraries run from popular to obscure, so this says how obscure a medium is.
#[inline]
fn share_of(part: u64, whole: u64) -> u64 {
    (part << 16) / whole
}

/// What the items of a user have in common.
struct Owner {
    signup: Micros,
    bias: f64,
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
    draws: Draws,
}

impl Item {
    #[inline]
    fn draw(medium: &Medium<'_>, rank: u64, depth: u64, owner: &Owner, mut draws: Draws) -> Self {
        let length = medium.length();
        let status = status(depth, length, draws.bits() >> 48);
        let created = between(owner.signup.max(medium.entered()), NOW, draws.bits());
        let started = (status != Status::Planned).then(|| between(created, NOW, soon(draws.bits())));
        let completed = started.filter(|_| status == Status::Completed);
        let completed = completed.map(|started| between(started, NOW, soon(draws.bits())));
        let latest = completed.or(started).unwrap_or(created);
        let updated = between(latest, NOW, soon(draws.bits()));
        let rating =
            draws.chance(status.rated()).then(|| rating(medium.quality(rank) + owner.bias, draws.bits()));
        let progress = match status {
            Status::Planned => None,
            Status::Completed => Some(length),
            Status::InProgress => Some(share(length, draws.bits())),
            // Who gives up mostly does so early.
            Status::Dropped => Some(share(length, squared(draws.bits()))),
        };
        Self { status, progress, rating, created, started, completed, updated, draws }
    }

    #[inline]
    fn write(mut self, medium: &Medium<'_>, rows: &mut Rows) {
        rows.text(self.status.name());
        match self.progress.map(i32::try_from) {
            Some(Ok(progress)) => rows.int4(progress),
            _ => rows.null(),
        }
        match self.rating {
            Some(rating) => rows.int2(rating),
            None => rows.null(),
        }
        // Whoever did not like it writes more often.
        let writes = match (self.status, self.rating) {
            (Status::Planned, _) => 655,
            (_, Some(1..=4)) => 5_243,
            _ => 2_294,
        };
        if self.draws.chance(writes) {
            write_text(&mut self.draws, 3, 60, rows);
        } else {
            rows.null();
        }
        rows.maybe_time(self.started);
        rows.maybe_time(self.completed);
        rows.json(|json| {
            json.text("type", &[medium.kind().name()]);
            json.text("title", &medium.title_parts());
        });
        rows.time(self.created);
        rows.time(self.updated);
    }
}

/// The state, from 16 random bits. What is popular is planned less and finished more; what is long is dropped more.
#[inline]
fn status(depth: u64, length: u64, draw: u64) -> Status {
    let planned = 11_000 + depth / 6;
    let in_progress = planned + 5_243;
    let dropped = in_progress + 1_966 + 4_600 * length / (600 + length);
    match draw {
        draw if draw < planned => Status::Planned,
        draw if draw < in_progress => Status::InProgress,
        draw if draw < dropped => Status::Dropped,
        _ => Status::Completed,
    }
}

/// 1 to 10 around `centre`: four sums of 16 random bits are near enough to a normal deviate.
#[inline]
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "small numbers")]
fn rating(centre: f64, draw: u64) -> i16 {
    let sum: u64 = (0..4).map(|part| draw >> (16 * part) & 0xFFFF).sum();
    let noise = (sum as f64 / 65_536.0 - 2.0) * 2.25;
    (centre + noise + 0.5).clamp(1.0, 10.0) as i16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datagen::Sizes;

    fn items() -> Vec<(u64, Item)> {
        let model = Model::new(42, Sizes { users: 500, media: 5_000, user_media: 50_000 });
        let mut all = Vec::new();
        for (index, items) in model.items_of_users().enumerate() {
            let user = model.user(index as u64);
            let draws = model.keys().items.within(index as u64);
            let owner = Owner { signup: user.signup(), bias: user.bias() };
            for (position, (rank, media)) in (0..).zip(model.library(index as u64, items)) {
                let depth = share_of(position, items);
                let item = Item::draw(&model.media(media), rank, depth, &owner, draws.of(rank));
                assert!(user.signup() <= item.created);
                all.push((rank, item));
            }
        }
        all
    }

    fn fraction(items: &[(u64, Item)], is: impl Fn(&Item) -> bool) -> f64 {
        items.iter().filter(|(_, item)| is(item)).count() as f64 / items.len() as f64
    }

    #[test]
    fn times_are_in_order() {
        for (_, item) in items() {
            let times = [Some(item.created), item.started, item.completed, Some(item.updated), Some(NOW)];
            assert!(times.into_iter().flatten().is_sorted());
            assert_eq!(item.started.is_some(), item.status != Status::Planned);
            assert_eq!(item.completed.is_some(), item.status == Status::Completed);
            assert!(item.rating.is_none() || item.started.is_some());
        }
    }

    #[test]
    fn shares_are_calibrated() {
        // Published lists: completed 62 %, planned 25, in progress 8, dropped 5; rated about half of all.
        let items = items();
        for (status, expected) in [
            (Status::Completed, 0.62),
            (Status::Planned, 0.25),
            (Status::InProgress, 0.08),
            (Status::Dropped, 0.05),
        ] {
            let share = fraction(&items, |item| item.status == status);
            assert!((share - expected).abs() < 0.04, "{}: {share}", status.name());
        }
        let rated = fraction(&items, |item| item.rating.is_some());
        assert!((0.45..0.65).contains(&rated), "rated {rated}");
    }

    #[test]
    fn popular_media_are_rated_higher() {
        let items = items();
        let mean = |ranks: std::ops::Range<u64>| {
            let ratings = items.iter().filter(|(rank, _)| ranks.contains(rank)).filter_map(|(_, i)| i.rating);
            let (n, sum) = ratings.fold((0.0, 0.0), |(n, sum), rating| (n + 1.0, sum + f64::from(rating)));
            sum / n
        };
        assert!(mean(0..100) > mean(2_000..5_000) + 0.3, "{} {}", mean(0..100), mean(2_000..5_000));
        assert!((6.0..8.0).contains(&mean(0..5_000)), "{}", mean(0..5_000));
    }
}

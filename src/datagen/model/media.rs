//! Media.

use uuid::Uuid;

use super::{IMPORT, LAUNCH, Micros, Model, NOW, YOUNGEST};
use crate::datagen::dist::{between, squared};
use crate::datagen::random::{share, unit};
use crate::datagen::words::words;

/// What a medium is; `media_type` in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A book.
    Book,
    /// A film.
    Movie,
    /// A television series.
    Series,
    /// A game.
    Game,
    /// An audio book, album or podcast.
    Audio,
    /// Something that takes place: a concert, a play.
    Event,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Book, Self::Movie, Self::Series, Self::Game, Self::Audio, Self::Event];

    /// Its name in `media_type`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Book => "book",
            Self::Movie => "movie",
            Self::Series => "series",
            Self::Game => "game",
            Self::Audio => "audio",
            Self::Event => "event",
        }
    }

    /// Shortest and longest, in the unit in which progress is counted: pages, minutes, hours.
    fn lengths(self) -> (u64, u64) {
        match self {
            Self::Book => (64, 1200),
            Self::Movie => (70, 210),
            Self::Series => (120, 6_000),
            Self::Game => (2, 120),
            Self::Audio => (20, 900),
            Self::Event => (30, 300),
        }
    }
}

/// One medium.
#[derive(Debug, Clone, Copy)]
pub struct Medium<'a> {
    pub(super) model: &'a Model,
    pub(super) index: u64,
}

impl Medium<'_> {
    /// Its index.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Its id.
    #[inline]
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.model.media_id(self.index)
    }

    /// What it is.
    #[inline]
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind_of(self.model.keys.kind.bits(self.index))
    }

    /// The kind, from the upper 16 of 64 random bits.
    #[inline]
    fn kind_of(&self, bits: u64) -> Kind {
        let draw = bits >> 48;
        let position = self.model.odds.kinds.iter().filter(|&&end| draw >= end).count();
        Kind::ALL[position]
    }

    /// How long it is: pages of a book, minutes of what is watched or heard, hours of play.
    #[inline]
    #[must_use]
    pub fn length(&self) -> u64 {
        self.lengths().0
    }

    /// How long it is, and how long among its kind as a fraction of 2^64, which is a third on average.
    #[inline]
    pub(in crate::datagen) fn lengths(&self) -> (u64, u64) {
        let bits = self.model.keys.kind.bits(self.index);
        let (shortest, longest) = self.kind_of(bits).lengths();
        // The lower 48 bits are not those that decide the kind.
        let relative = squared(bits << 16);
        (shortest + share(longest - shortest, relative), relative)
    }

    /// When it entered the catalogue: most were imported before the launch, the rest appeared steadily.
    #[inline]
    #[must_use]
    pub fn entered(&self) -> Micros {
        let (imported, media) = (self.model.imported, self.model.sizes.media);
        let bits = self.model.keys.entered.bits(self.index);
        let evenly = |position: u64, of: u64| {
            let step = u64::MAX / of;
            position * step + share(step, bits)
        };
        if self.index < imported {
            between(LAUNCH - IMPORT, LAUNCH, evenly(self.index, imported))
        } else {
            between(LAUNCH, NOW - YOUNGEST, evenly(self.index - imported, media - imported))
        }
    }

    /// Whether it was in the catalogue by `time`, when users were there.
    #[inline]
    pub(super) fn is_there_by(&self, time: Micros) -> bool {
        self.index < self.model.imported || self.entered() <= time
    }

    /// Its title.
    #[must_use]
    pub fn title(&self) -> String {
        self.title_parts().concat()
    }

    /// Its title in pieces, for writers that need no string of their own. Stands in JSON as it is.
    #[inline]
    #[must_use]
    pub fn title_parts(&self) -> [&'static str; 6] {
        let w = words();
        let mut draws = self.model.keys.title.stream(self.index);
        match draws.below(5) {
            0 => ["The ", draws.word(&w.adjectives), " ", draws.word(&w.nouns), "", ""],
            1 => [
                draws.word(&w.given),
                " and the ",
                draws.word(&w.adjectives),
                " ",
                draws.word(&w.professions),
                "",
            ],
            2 => ["The ", draws.word(&w.nouns), " of ", draws.word(&w.given), " ", draws.word(&w.family)],
            3 => [draws.word(&w.given), ", ", draws.word(&w.professions), "", "", ""],
            _ => [draws.word(&w.family), ": ", draws.word(&w.text), " ", draws.word(&w.text), ""],
        }
    }

    /// A number of at most nine digits that no other medium has, in no order.
    #[must_use]
    pub(in crate::datagen) fn number(&self) -> u64 {
        self.model.numbers.apply(self.index)
    }

    /// Its unique `external_id`.
    #[must_use]
    pub fn external_id(&self) -> String {
        format!("omt:{:09}", self.number())
    }

    /// Its unique ISBN-13, where it is a book.
    #[must_use]
    pub fn isbn(&self) -> Option<String> {
        if self.kind() != Kind::Book {
            return None;
        }
        let digits = format!("978{:09}", self.number());
        let weighted = |(i, digit): (usize, u8)| u32::from(digit - b'0') * if i % 2 == 0 { 1 } else { 3 };
        let sum: u32 = digits.bytes().enumerate().map(weighted).sum();
        Some(format!("{digits}{}", (10 - sum % 10) % 10))
    }

    /// How much better or worse than others it is, in points.
    #[inline]
    #[must_use]
    pub(in crate::datagen) fn quality(&self) -> f64 {
        2.2 * (unit(self.model.keys.quality.bits(self.index)) - 0.5)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::datagen::Sizes;
    use crate::datagen::shape::Shape;

    #[test]
    fn external_ids_and_isbns_are_unique_and_well_formed() {
        let model = Model::new(9, Sizes { users: 1, media: 10_000, user_media: 0 }, &Shape::default());
        let ids: HashSet<String> = (0..10_000).map(|i| model.media(i).external_id()).collect();
        assert_eq!(ids.len(), 10_000);
        let isbns: Vec<String> = (0..10_000).filter_map(|i| model.media(i).isbn()).collect();
        assert_eq!(isbns.iter().collect::<HashSet<_>>().len(), isbns.len());
        for isbn in &isbns {
            let sum: u32 = isbn.bytes().enumerate().map(|(i, d)| u32::from(d - b'0') * [1, 3][i % 2]).sum();
            assert!(isbn.len() == 13 && sum.is_multiple_of(10), "{isbn}");
        }
    }

    #[test]
    fn lengths_and_times_stay_in_range() {
        let model = Model::new(9, Sizes { users: 1, media: 5_000, user_media: 0 }, &Shape::default());
        for medium in (0..5_000).map(|i| model.media(i)) {
            let (shortest, longest) = medium.kind().lengths();
            assert!((shortest..=longest).contains(&medium.length()));
            assert!((LAUNCH - IMPORT..=NOW - YOUNGEST).contains(&medium.entered()));
            assert!(!medium.title().is_empty());
        }
    }
}

//! Media.

use uuid::Uuid;

use super::{LAUNCH, Micros, Model, NOW, YOUNGEST};
use crate::datagen::dist::squared;
use crate::datagen::random::{Draws, share};
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

    fn nature(&self) -> Draws {
        self.model.keys.kind.of(self.index)
    }

    /// What it is.
    #[inline]
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.nature().below(100) {
            0..30 => Kind::Book,
            30..52 => Kind::Movie,
            52..66 => Kind::Series,
            66..82 => Kind::Game,
            82..95 => Kind::Audio,
            _ => Kind::Event,
        }
    }

    /// How long it is: pages of a book, minutes of what is watched or heard, hours of play.
    #[inline]
    #[must_use]
    pub fn length(&self) -> u64 {
        let (shortest, longest) = self.kind().lengths();
        let mut draws = self.nature();
        let (_, bits) = (draws.bits(), draws.bits());
        shortest + share(longest - shortest, squared(bits))
    }

    /// When it entered the catalogue.
    #[inline]
    #[must_use]
    pub fn entered(&self) -> Micros {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            reason = "below 2^53 either way"
        )]
        let since = {
            let at = self.index as f64 + self.model.keys.entered.of(self.index).unit();
            ((NOW - YOUNGEST - LAUNCH) as f64 * (at / self.model.sizes.media as f64)) as i64
        };
        LAUNCH + since
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
        let mut draws = self.model.keys.title.of(self.index);
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

    /// How good it is on the scale of ratings, at popularity rank `rank`: popular media are better on average.
    #[inline]
    #[must_use]
    pub(in crate::datagen) fn quality(&self, rank: u64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "ranks are far below 2^53")]
        let popular = 300.0 / (300.0 + rank as f64);
        6.6 + 1.6 * popular + 2.2 * (self.model.keys.quality.of(self.index).unit() - 0.5)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::datagen::Sizes;

    #[test]
    fn external_ids_and_isbns_are_unique_and_well_formed() {
        let model = Model::new(9, Sizes { users: 1, media: 10_000, user_media: 0 });
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
        let model = Model::new(9, Sizes { users: 1, media: 5_000, user_media: 0 });
        for medium in (0..5_000).map(|i| model.media(i)) {
            let (shortest, longest) = medium.kind().lengths();
            assert!((shortest..=longest).contains(&medium.length()));
            assert!((LAUNCH..=NOW - YOUNGEST).contains(&medium.entered()));
            assert!(!medium.title().is_empty());
        }
    }
}

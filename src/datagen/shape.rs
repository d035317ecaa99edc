//! The shape of a data set: every number that a distribution is made with, by name, and the published data sets that the
//! presets follow.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::verdict::UsageError;

/// A number that shapes the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Knob {
    /// Spread of the lognormal number of items of a user: the standard deviation of its logarithm.
    ItemsSigma,
    /// Share of users without any item.
    ItemsIdle,
    /// The most items a user has.
    ItemsMost,
    /// Exponent `s` of the popularity `(rank + q)^-s`.
    PopularityExponent,
    /// Offset `q` of the popularity: how flat its head is; 0 is a pure Zipf.
    PopularityOffset,
    /// Share of the catalogue that appeared after the launch; the rest was there before.
    MediaNew,
    /// Weight of books among media.
    KindBook,
    /// Weight of films.
    KindMovie,
    /// Weight of series.
    KindSeries,
    /// Weight of games.
    KindGame,
    /// Weight of what is heard.
    KindAudio,
    /// Weight of events.
    KindEvent,
    /// Share of items that are planned.
    StatusPlanned,
    /// Share of items in progress.
    StatusInProgress,
    /// Share of items that were dropped; the rest is completed.
    StatusDropped,
    /// Share of completed items that are rated.
    RatingShare,
    /// Mean rating.
    RatingMean,
    /// Spread of one rating around what its user would give its medium.
    RatingSpread,
    /// Share of started items with a note.
    Notes,
    /// How sign-ups grow: the number of users rises with this power of time.
    SignupGrowth,
    /// How much more a user adds soon after signing up: 0 not at all, below 1.
    SignupBurst,
    /// Relations between media, for each medium.
    Relations,
    /// Lists per user.
    Lists,
}

/// A knob's name, default, least and greatest value, and what it says.
struct Entry(Knob, &'static str, f64, [f64; 2], &'static str);

#[rustfmt::skip]
const ENTRIES: [Entry; Knob::COUNT] = [
    Entry(Knob::ItemsSigma, "items.sigma", 1.54, [0.0, 3.0], "spread of the lognormal number of items of a user"),
    Entry(Knob::ItemsIdle, "items.idle", 0.02, [0.0, 0.95], "share of users without items"),
    Entry(Knob::ItemsMost, "items.most", 20_000.0, [1.0, 100_000.0], "the most items a user has, about"),
    Entry(Knob::PopularityExponent, "popularity.exponent", 1.2, [0.0, 3.0], "s of the popularity (rank + q)^-s"),
    Entry(Knob::PopularityOffset, "popularity.offset", 34.0, [0.0, 1e6], "q of the popularity; 0 is a pure Zipf"),
    Entry(Knob::MediaNew, "media.new", 0.25, [0.0, 0.9], "share of media that appeared after the launch"),
    Entry(Knob::KindBook, "kind.book", 30.0, [0.0, 1000.0], "weight of books among media"),
    Entry(Knob::KindMovie, "kind.movie", 22.0, [0.0, 1000.0], "weight of films"),
    Entry(Knob::KindSeries, "kind.series", 14.0, [0.0, 1000.0], "weight of series"),
    Entry(Knob::KindGame, "kind.game", 16.0, [0.0, 1000.0], "weight of games"),
    Entry(Knob::KindAudio, "kind.audio", 13.0, [0.0, 1000.0], "weight of audio books, albums, podcasts"),
    Entry(Knob::KindEvent, "kind.event", 5.0, [0.0, 1000.0], "weight of events"),
    Entry(Knob::StatusPlanned, "status.planned", 0.25, [0.0, 1.0], "share of items that are planned"),
    Entry(Knob::StatusInProgress, "status.in-progress", 0.08, [0.0, 1.0], "share of items in progress"),
    Entry(Knob::StatusDropped, "status.dropped", 0.05, [0.0, 0.5], "share of items dropped; the rest is completed"),
    Entry(Knob::RatingShare, "rating.share", 0.85, [0.0, 1.0], "share of completed items that are rated"),
    Entry(Knob::RatingMean, "rating.mean", 7.1, [1.0, 10.0], "mean rating"),
    Entry(Knob::RatingSpread, "rating.spread", 1.3, [0.0, 5.0], "spread of one user's ratings of equal media"),
    Entry(Knob::Notes, "notes", 0.035, [0.0, 1.0], "share of started items with a note"),
    Entry(Knob::SignupGrowth, "signup.growth", 2.0, [0.25, 8.0], "users rise with this power of time"),
    Entry(Knob::SignupBurst, "signup.burst", 0.6, [0.0, 0.95], "how much more is added soon after signing up"),
    Entry(Knob::Relations, "relations", 0.3, [0.0, 0.8], "relations per medium, in chains and universes"),
    Entry(Knob::Lists, "lists", 0.5, [0.0, 10.0], "lists per user"),
];

impl Knob {
    const COUNT: usize = 23;

    /// All of them, with name and meaning.
    pub fn all() -> impl Iterator<Item = (Self, &'static str, &'static str)> {
        ENTRIES.iter().map(|entry| (entry.0, entry.1, entry.4))
    }

    fn entry(self) -> &'static Entry {
        &ENTRIES[self as usize]
    }

    /// Its name, as `--set` takes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.entry().1
    }
}

impl fmt::Display for Knob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Knob {
    type Err = UsageError;

    fn from_str(text: &str) -> Result<Self, UsageError> {
        let near = || {
            ENTRIES.iter().map(|entry| entry.1).max_by_key(|name| {
                // Similarity between 0 and 1, as a whole number.
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "between 0 and 1000"
                )]
                let similarity = (strsim::jaro_winkler(name, text) * 1000.0) as u32;
                similarity
            })
        };
        ENTRIES.iter().find(|entry| entry.1 == text).map(|entry| entry.0).ok_or_else(|| {
            UsageError(format!(
                "{text:?} is no knob of the data; did you mean {}?",
                near().unwrap_or_default()
            ))
        })
    }
}

/// A value for every knob.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, f64>", into = "BTreeMap<String, f64>")]
pub struct Shape([f64; Knob::COUNT]);

impl Default for Shape {
    fn default() -> Self {
        Self(std::array::from_fn(|knob| ENTRIES[knob].2))
    }
}

impl Shape {
    /// The value of `knob`.
    #[must_use]
    pub fn get(&self, knob: Knob) -> f64 {
        self.0[knob as usize]
    }

    /// This shape with `knob` at `value`.
    ///
    /// # Errors
    /// [`UsageError`] where the value is out of the knob's range.
    pub fn with(mut self, knob: Knob, value: f64) -> Result<Self, UsageError> {
        let [least, greatest] = knob.entry().3;
        if !(least..=greatest).contains(&value) {
            return Err(UsageError(format!("{knob} is between {least} and {greatest}, not {value}")));
        }
        self.0[knob as usize] = value;
        Ok(self)
    }

    /// Checks what no single knob can see.
    ///
    /// # Errors
    /// [`UsageError`] where shares exceed the whole or all kinds weigh nothing.
    pub fn check(self) -> Result<Self, UsageError> {
        let planned_to_dropped = [Knob::StatusPlanned, Knob::StatusInProgress, Knob::StatusDropped];
        let shares: f64 = planned_to_dropped.iter().map(|&knob| self.get(knob)).sum();
        if shares > 1.0 + 1e-9 {
            return Err(UsageError(format!(
                "status.planned, status.in-progress and status.dropped add up to {shares:.3}, more than all items"
            )));
        }
        if self.kinds().iter().sum::<f64>() <= 0.0 {
            return Err(UsageError("every kind.* weighs nothing: there would be no media".to_owned()));
        }
        Ok(self)
    }

    /// Weights of books, films, series, games, audio, events.
    #[must_use]
    pub fn kinds(&self) -> [f64; 6] {
        [Knob::KindBook, Knob::KindMovie, Knob::KindSeries, Knob::KindGame, Knob::KindAudio, Knob::KindEvent]
            .map(|knob| self.get(knob))
    }

    fn but(mut self, changes: &[(Knob, f64)]) -> Self {
        for &(knob, value) in changes {
            self.0[knob as usize] = value;
        }
        self
    }
}

impl From<Shape> for BTreeMap<String, f64> {
    fn from(shape: Shape) -> Self {
        ENTRIES.iter().map(|entry| (entry.1.to_owned(), shape.get(entry.0))).collect()
    }
}

impl TryFrom<BTreeMap<String, f64>> for Shape {
    type Error = UsageError;

    fn try_from(values: BTreeMap<String, f64>) -> Result<Self, UsageError> {
        let set = |shape: Self, (name, value): (&String, &f64)| shape.with(name.parse()?, *value);
        values.iter().try_fold(Self::default(), set)?.check()
    }
}

/// A published data set to resemble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Preset {
    /// All kinds of media: the default.
    Mixed,
    /// Films that were seen and rated, as in `MovieLens` Latest.
    Movielens,
    /// Books, half of them still to be read, as in the UCSD book graph of Goodreads.
    Goodreads,
    /// Series and films of devoted users, as on `MyAnimeList`.
    Mal,
    /// Games, a third of them never started, as on Steam.
    Steam,
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Preset {
    type Err = UsageError;

    fn from_str(text: &str) -> Result<Self, UsageError> {
        Self::ALL.into_iter().find(|preset| preset.name() == text).ok_or_else(|| {
            UsageError(format!("{text:?} is not a preset; they are {}", Self::ALL.map(Self::name).join(", ")))
        })
    }
}

impl Preset {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Mixed, Self::Movielens, Self::Goodreads, Self::Mal, Self::Steam];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Mixed => "mixed",
            Self::Movielens => "movielens",
            Self::Goodreads => "goodreads",
            Self::Mal => "mal",
            Self::Steam => "steam",
        }
    }

    /// Its shape for a catalogue of `media`. Sources of the figures: `MovieLens` Latest (`LensKit`, "Parametric Activity
    /// Distributions"), UCSD Book Graph, `MyAnimeList` 2020 (list statuses and concentration), Steam gauge 2014.
    #[must_use]
    pub fn shape(self, media: u64) -> Shape {
        use Knob::*;
        // Longer catalogues fall off more slowly: the same share of all rows for the first titles.
        let exponent = if media <= 20_000_000 { 1.2 } else { 1.15 };
        let shape = Shape::default().but(&[(PopularityExponent, exponent)]);
        let only = |kinds: [f64; 6]| {
            let knobs = [KindBook, KindMovie, KindSeries, KindGame, KindAudio, KindEvent];
            let changes: Vec<(Knob, f64)> = knobs.into_iter().zip(kinds).collect();
            shape.but(&changes)
        };
        match self {
            Self::Mixed => shape,
            Self::Movielens => only([0.0, 90.0, 10.0, 0.0, 0.0, 0.0]).but(&[
                // The Gini coefficient of its 83 thousand films is 0.953; that of ten million is with 1.2 and 34.
                (PopularityExponent, if media < 1_000_000 { 1.5 } else { exponent }),
                (PopularityOffset, if media < 1_000_000 { 44.0 } else { 34.0 }),
                (StatusPlanned, 0.0),
                (StatusInProgress, 0.0),
                (StatusDropped, 0.0),
                (RatingShare, 1.0),
                (RatingMean, 7.1),
                (RatingSpread, 1.7),
                (Notes, 0.01),
            ]),
            Self::Goodreads => only([100.0, 0.0, 0.0, 0.0, 0.0, 0.0]).but(&[
                (ItemsSigma, 1.35),
                (StatusPlanned, 0.46),
                (StatusInProgress, 0.04),
                (StatusDropped, 0.01),
                (RatingShare, 0.93),
                (RatingMean, 7.6),
                (Notes, 0.06),
            ]),
            Self::Mal => only([0.0, 25.0, 75.0, 0.0, 0.0, 0.0]).but(&[
                (ItemsSigma, 1.11),
                (StatusPlanned, 0.2),
                (StatusInProgress, 0.08),
                (StatusDropped, 0.06),
                (RatingShare, 0.8),
                (RatingMean, 7.4),
            ]),
            Self::Steam => only([0.0, 0.0, 0.0, 100.0, 0.0, 0.0]).but(&[
                (PopularityExponent, 1.4),
                (StatusPlanned, 0.37),
                (StatusInProgress, 0.21),
                (StatusDropped, 0.17),
                (RatingShare, 0.15),
                (RatingMean, 7.8),
                (Notes, 0.01),
            ]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_stand_where_their_knobs_point() {
        for (position, entry) in ENTRIES.iter().enumerate() {
            assert_eq!(entry.0 as usize, position, "{}", entry.1);
            assert_eq!(entry.1.parse::<Knob>().unwrap(), entry.0);
            assert!((entry.3[0]..=entry.3[1]).contains(&entry.2), "{}", entry.1);
        }
    }

    #[test]
    fn presets_are_in_range_and_read_what_they_write() {
        for preset in Preset::ALL {
            assert_eq!(preset.name().parse::<Preset>().unwrap(), preset);
            for media in [1_000, 50_000_000] {
                let shape = preset.shape(media);
                let text = serde_json::to_string(&shape).unwrap();
                assert_eq!(serde_json::from_str::<Shape>(&text).unwrap(), shape);
            }
        }
    }

    #[test]
    fn mistakes_are_named() {
        assert!("items.sgma".parse::<Knob>().unwrap_err().0.contains("items.sigma"));
        assert!(Shape::default().with(Knob::Notes, 1.5).unwrap_err().0.contains("between 0 and 1"));
        assert!(Shape::default().with(Knob::Notes, f64::NAN).is_err());
        let too_much = Shape::default().with(Knob::StatusPlanned, 0.9).unwrap().check();
        assert!(too_much.unwrap_err().0.contains("more than all"));
    }
}

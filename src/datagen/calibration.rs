//! The distributions of a loaded data set against those of its model.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use super::columns::items::{Status, outcome};
use super::{Check, Model};
use crate::pg::Session;
use crate::pg::error::{Doing as _, Result};
use crate::run::Run;

const USERS: &str = include_str!("sql/items_of_users.sql");
const MEDIA: &str = include_str!("sql/holders_of_media.sql");
const TOP: &str = include_str!("sql/holders_of_top.sql");
const STATES: &str = include_str!("sql/states.sql");

/// More items than this are not chosen again by the model to be counted: it would take minutes.
const MOST: u64 = 200_000_000;
/// Items of which state and rating are drawn again; of more, those of some of the users.
const SAMPLE: u64 = 5_000_000;
/// Media whose holders are counted one by one.
const HEAD: u64 = 20;

/// How many owners there are by the number of things they have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Histogram(BTreeMap<u64, u64>);

impl Histogram {
    fn of(counts: impl Iterator<Item = u64>) -> Self {
        let mut histogram = Self::default();
        counts.for_each(|count| histogram.add(count, 1));
        histogram
    }

    fn add(&mut self, count: u64, owners: u64) {
        if owners > 0 {
            *self.0.entry(count).or_default() += owners;
        }
    }

    fn owners(&self) -> u64 {
        self.0.values().sum()
    }

    /// With `all` owners, of whom those that are missing have nothing.
    fn among(mut self, all: u64) -> Self {
        let missing = all.saturating_sub(self.owners());
        self.add(0, missing);
        self
    }

    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    fn pairs(&self) -> impl DoubleEndedIterator<Item = (f64, f64)> + '_ {
        self.0.iter().map(|(&count, &owners)| (count as f64, owners as f64))
    }

    /// Standard deviation of the logarithm, of owners who have anything.
    fn log_spread(&self) -> f64 {
        let some = || self.pairs().filter(|&(count, _)| count > 0.0);
        let (n, sum) =
            some().fold((0.0, 0.0), |(n, sum), (count, owners)| (n + owners, sum + owners * count.ln()));
        let mean = sum / f64::max(n, 1.0);
        let squares: f64 = some().map(|(count, owners)| owners * (count.ln() - mean).powi(2)).sum();
        (squares / f64::max(n, 1.0)).sqrt()
    }

    /// Gini coefficient: 0 where all have the same, 1 where one has everything.
    fn gini(&self) -> f64 {
        let (mut owners, mut things, mut area) = (0.0, 0.0, 0.0);
        for (count, number) in self.pairs() {
            area += number * (things + count * number / 2.0);
            owners += number;
            things += count * number;
        }
        if things > 0.0 { 1.0 - 2.0 * area / (owners * things) } else { 0.0 }
    }

    /// What the top `share` of owners have, of everything.
    fn top(&self, share: f64) -> f64 {
        let (owners, things) =
            self.pairs().fold((0.0, 0.0), |(owners, things), (count, n)| (owners + n, things + count * n));
        let (mut left, mut theirs) = (owners * share, 0.0);
        for (count, number) in self.pairs().rev() {
            let taken = f64::min(left, number);
            theirs += taken * count;
            left -= taken;
        }
        theirs / f64::max(things, 1.0)
    }
}

/// What the model says about popularity.
struct Popularity {
    holders: Histogram,
    /// Of the first ranks.
    head: Vec<u64>,
}

impl Popularity {
    fn of(run: &Run, model: &Model) -> anyhow::Result<Self> {
        let sizes = model.sizes();
        let mut holders = vec![0u32; usize::try_from(sizes.media)?];
        let mut head = vec![0; usize::try_from(HEAD.min(sizes.media))?];
        for (user, items) in (0..).zip(model.items_of_users()) {
            run.check()?;
            let library = model.library(user, items);
            for pick in (0..items).map(|number| library.pick(number)) {
                holders[usize::try_from(pick.media)?] += 1;
                if let Some(count) = usize::try_from(pick.rank).ok().and_then(|rank| head.get_mut(rank)) {
                    *count += 1;
                }
            }
        }
        Ok(Self { holders: Histogram::of(holders.into_iter().map(u64::from)), head })
    }
}

/// A number that must be near another.
fn near(name: &str, expected: f64, found: f64, tolerance: f64) -> Check {
    Check {
        name: name.to_owned(),
        expected: format!("{expected:.4} ± {tolerance:.4}"),
        found: format!("{found:.4}"),
        ok: (found - expected).abs() <= tolerance,
    }
}

/// Compares what `session`'s database holds with `model`.
pub(super) async fn checks(run: &Run, session: &Session, model: &Model) -> anyhow::Result<Vec<Check>> {
    let task = run.task("distributions", Some(4), "distributions");
    let mut checks = users(session, model).await?;
    task.advance(1);
    if model.sizes().user_media <= MOST {
        let (watched, chosen) = (run.clone(), model.clone());
        let expected = tokio::task::spawn_blocking(move || Popularity::of(&watched, &chosen)).await??;
        task.advance(1);
        checks.extend(popularity(session, model, &expected).await?);
    } else {
        checks.push(Check {
            name: "popularity of media".to_owned(),
            expected: format!("compared up to {} items", crate::units::Rows(MOST)),
            found: "not compared, the data set is larger".to_owned(),
            ok: true,
        });
    }
    task.advance(1);
    checks.extend(states(run, session, model).await?);
    Ok(checks)
}

async fn histogram(session: &Session, sql: &str) -> Result<Histogram> {
    let mut histogram = Histogram::default();
    for row in session.query(sql, &[]).await.doing(|| "count items".to_owned())? {
        let (count, owners): (i64, i64) = (row.try_get("count")?, row.try_get("owners")?);
        histogram.add(count.cast_unsigned(), owners.cast_unsigned());
    }
    Ok(histogram)
}

async fn users(session: &Session, model: &Model) -> anyhow::Result<Vec<Check>> {
    let expected = Histogram::of(model.items_of_users());
    let found = histogram(session, USERS).await?.among(model.sizes().users);
    let of = |name: &str, figure: fn(&Histogram) -> f64| near(name, figure(&expected), figure(&found), 0.01);
    Ok(vec![
        of("spread of items per user (sigma of the logarithm)", Histogram::log_spread),
        of("Gini coefficient of items per user", Histogram::gini),
        of("items of the top 1 % of users", |histogram| histogram.top(0.01)),
    ])
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
async fn popularity(session: &Session, model: &Model, expected: &Popularity) -> anyhow::Result<Vec<Check>> {
    let found = histogram(session, MEDIA).await?.among(model.sizes().media);
    let of = |name: &str, figure: fn(&Histogram) -> f64| {
        near(name, figure(&expected.holders), figure(&found), 0.01)
    };
    let mut checks = vec![
        of("Gini coefficient of holders per medium", Histogram::gini),
        of("items that are of the top 1 % of media", |histogram| histogram.top(0.01)),
    ];
    let head = head(session, model).await?;
    let users = model.sizes().users as f64;
    let [reach, found_reach] =
        [&expected.head, &head].map(|head| head.first().map_or(0.0, |&n| n as f64 / users));
    checks.push(near("users who hold the most popular medium", reach, found_reach, 0.02 * reach));
    let ratio = |head: &[u64]| match (head.first(), head.last()) {
        (Some(&first), Some(&last)) if last > 0 => first as f64 / last as f64,
        _ => 0.0,
    };
    let name = format!("holders of rank 1 over those of rank {}", expected.head.len());
    let expected = ratio(&expected.head);
    checks.push(near(&name, expected, ratio(&head), 0.03 * expected));
    Ok(checks)
}

/// Holders of the most popular media, by rank.
async fn head(session: &Session, model: &Model) -> anyhow::Result<Vec<u64>> {
    let ranks = 0..HEAD.min(model.sizes().media);
    let ids: Vec<Uuid> = ranks.map(|rank| model.media_id(model.media_by_rank(rank))).collect();
    let rows = session.query(TOP, &[&ids]).await.doing(|| "count holders".to_owned())?;
    let mut holders: HashMap<Uuid, i64> = HashMap::new();
    for row in &rows {
        holders.insert(row.try_get("media_id")?, row.try_get("holders")?);
    }
    Ok(ids.iter().map(|id| holders.get(id).map_or(0, |count| count.cast_unsigned())).collect())
}

/// Items by state, and their ratings.
#[derive(Debug, Clone, Copy, Default)]
struct States {
    /// In the order of [`Status::ALL`]: items, rated items.
    of: [(f64, f64); 4],
    /// Sum of all ratings.
    points: f64,
}

impl States {
    /// Those of every so-manyth user of the model.
    fn of(run: &Run, model: &Model) -> anyhow::Result<Self> {
        let mut states = Self::default();
        let step = (model.sizes().user_media / SAMPLE).max(1);
        for (user, items) in (0..).zip(model.items_of_users()).step_by(usize::try_from(step)?) {
            run.check()?;
            let library = model.library(user, items);
            for pick in (0..items).map(|number| library.pick(number)) {
                let (status, rating) = outcome(model, user, pick);
                let (items, rated) = &mut states.of[status as usize];
                *items += 1.0;
                *rated += f64::from(u8::from(rating.is_some()));
                states.points += f64::from(rating.unwrap_or(0));
            }
        }
        Ok(states)
    }

    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    async fn found(session: &Session) -> anyhow::Result<Self> {
        let mut states = Self::default();
        for row in session.query(STATES, &[]).await.doing(|| "count states".to_owned())? {
            let count = |column| row.try_get::<_, i64>(column).map(|count| count as f64);
            let name: String = row.try_get("status")?;
            if let Some(status) = Status::ALL.iter().position(|status| status.name() == name) {
                states.of[status] = (count("items")?, count("rated")?);
            }
            states.points += count("points")?;
        }
        Ok(states)
    }

    fn items(&self) -> f64 {
        self.of.iter().map(|(items, _)| items).sum()
    }

    fn share(&self, status: Status) -> f64 {
        self.of[status as usize].0 / self.items().max(1.0)
    }

    fn rated(&self, status: Status) -> f64 {
        let (items, rated) = self.of[status as usize];
        rated / items.max(1.0)
    }

    fn mean_rating(&self) -> f64 {
        self.points / self.of.iter().map(|(_, rated)| rated).sum::<f64>().max(1.0)
    }
}

/// How much was planned, started, finished, given up, rated.
async fn states(run: &Run, session: &Session, model: &Model) -> anyhow::Result<Vec<Check>> {
    let (watched, chosen) = (run.clone(), model.clone());
    let expected = tokio::task::spawn_blocking(move || States::of(&watched, &chosen)).await??;
    let found = States::found(session).await?;
    // A sample of users strays from the whole, by the more the fewer items it has.
    let stray = if model.sizes().user_media > SAMPLE { 0.01 } else { 0.001 };
    let share = |status: Status| {
        let name = format!("share of items {}", status.name());
        near(&name, expected.share(status), found.share(status), stray)
    };
    let mut checks = Status::ALL.map(share).to_vec();
    let completed = Status::Completed;
    checks.push(near(
        "share of completed items rated",
        expected.rated(completed),
        found.rated(completed),
        stray,
    ));
    checks.push(near("mean rating", expected.mean_rating(), found.mean_rating(), 10.0 * stray));
    Ok(checks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datagen::{Preset, Sizes};

    #[test]
    fn figures_of_a_histogram() {
        let equal = Histogram::of([5; 10].into_iter());
        assert!(equal.gini().abs() < 1e-12 && equal.log_spread() == 0.0);
        assert!((equal.top(0.1) - 0.1).abs() < 1e-12);
        let one = Histogram::of([7].into_iter()).among(1000);
        assert!((one.gini() - 0.999).abs() < 1e-12 && (one.top(0.001) - 1.0).abs() < 1e-12);
        // 1, 3: half of the mean absolute difference over the mean is 1/4.
        assert!((Histogram::of([1, 3].into_iter()).gini() - 0.25).abs() < 1e-12);
    }

    /// Users: spread and concentration as published; the sources stand with [`Preset::shape`].
    #[test]
    fn users_are_those_of_the_published_data() {
        let model = |preset: Preset| {
            let sizes = Sizes { users: 100_000, media: 10_000_000, user_media: 10_000_000 };
            Model::new(5, sizes, &preset.shape(sizes.media))
        };
        let users = |preset| Histogram::of(model(preset).items_of_users());
        // MovieLens Latest: a lognormal of sigma 1.54; by that law the top 1 % own 21.6 % and the top 10 % own 60 %.
        let movielens = users(Preset::Movielens);
        assert!((movielens.log_spread() - 1.54).abs() < 0.06, "{}", movielens.log_spread());
        assert!((movielens.top(0.01) - 0.216).abs() < 0.02 && (movielens.top(0.1) - 0.60).abs() < 0.02);
        // MyAnimeList: users with more than 1.19 times the mean own 65.4 % of all entries.
        let mal = users(Preset::Mal);
        let heavy: u64 = mal.0.range(119..).map(|(count, owners)| count * owners).sum();
        #[expect(clippy::cast_precision_loss, reason = "ten million")]
        let share = heavy as f64 / 10_000_000.0;
        assert!((share - 0.654).abs() < 0.03, "{share}");
        // Goodreads: users with at most 10/261 of the mean own 0.2 %.
        let goodreads = users(Preset::Goodreads);
        let light: u64 = goodreads.0.range(..=4).map(|(count, owners)| count * owners).sum();
        assert!((5_000..60_000).contains(&light), "{light}");
    }

    /// Media: concentration as published.
    #[test]
    fn media_are_those_of_the_published_data() {
        let popularity = |preset: Preset, users, media, user_media| {
            let sizes = Sizes { users, media, user_media };
            let model = Model::new(5, sizes, &preset.shape(media));
            Popularity::of(&Run::silent(), &model).unwrap()
        };
        // MovieLens Latest: 83 k films, Gini 0.953; the first of a list of most popular titles has 1.69 times the twentieth,
        // less what is saturated.
        let movielens = popularity(Preset::Movielens, 20_000, 83_000, 2_000_000);
        assert!((movielens.holders.gini() - 0.953).abs() < 0.015, "{}", movielens.holders.gini());
        let (first, last) = (movielens.head[0], movielens.head[19]);
        assert!(first * 10 > last * 13 && first * 10 < last * 18, "{first} {last}");
        // Steam, 2014: 100 of 2,750 titles made half of all sales, some ten a user.
        let steam = popularity(Preset::Steam, 50_000, 2_750, 500_000);
        let share = steam.holders.top(100.0 / 2_750.0);
        assert!((share - 0.5).abs() < 0.07, "{share}");
    }
}

//! What the generator's model knows of values: which media and which users have how many rows of `interaction.user_media`.

use std::collections::BTreeMap;

use super::columns::Key;
use super::statistics::{Grown, Shares};
use crate::datagen::Model;
use crate::partition::hash::row_hash;
use crate::partition::map::Leaf;
use crate::schema::plan::USER_MEDIA;

/// Shares of the rows.
pub(super) struct Known {
    media: Shares,
    /// By the name of the leaf; of the whole table by its own.
    users: BTreeMap<String, Shares>,
    /// Rows, by the same names.
    rows: BTreeMap<String, f64>,
}

impl Known {
    /// Whether the model knows the values of the column `key`.
    pub(super) fn is_known(key: &Key) -> bool {
        let of_items = key.relation.starts_with(USER_MEDIA.1);
        // What is in lists is chosen as what is in libraries.
        let of_lists = key.relation == "list_items";
        key.schema == USER_MEDIA.0
            && match key.column.as_str() {
                "media_id" => of_items || of_lists,
                "user_id" => of_items,
                _ => false,
            }
    }

    /// What `model` knows, with as many of the most frequent values as statistics have entries.
    pub(super) fn of(model: &Model, leaves: &[Leaf], entries: u64) -> Self {
        let (users, rows) = users(model, leaves, entries);
        Self { media: media(model, entries), users, rows }
    }

    /// Rows of a leaf, or of the whole table.
    pub(super) fn rows(&self, table: &str) -> f64 {
        self.rows.get(table).copied().unwrap_or_default()
    }

    pub(super) fn shares(&self, key: &Key) -> Option<&Shares> {
        match key.column.as_str() {
            "media_id" if Self::is_known(key) => Some(&self.media),
            "user_id" if Self::is_known(key) => self.users.get(&key.relation),
            _ => None,
        }
    }
}

/// Media by their popularity, which is the same in every leaf.
#[expect(clippy::cast_precision_loss, reason = "ranks, far below 2^53")]
fn media(model: &Model, entries: u64) -> Shares {
    let (popularity, media) = (model.popularity(), model.sizes().media);
    let between = |from: u64, to: u64| popularity.share_below(to) - popularity.share_below(from);
    let named = |rank: u64| (model.media_id(model.media_by_rank(rank)).to_string(), between(rank, rank + 1));
    let (mut all, mut from) = (Vec::new(), 0);
    while from < media {
        let to = (from + 1 + from / 64).min(media);
        let number = (to - from) as f64;
        all.push((between(from, to) / number, number));
        from = to;
    }
    Shares { first: (0..entries.min(media)).map(named).collect(), all }
}

/// What is counted of the users of one leaf, or of all.
#[derive(Default)]
struct Users {
    rows: f64,
    /// How many users have so many items.
    sizes: BTreeMap<u64, f64>,
    /// Items and numbers of those with many.
    large: Vec<(u64, u64)>,
}

impl Users {
    #[expect(clippy::cast_precision_loss, reason = "rows, far below 2^53")]
    fn add(&mut self, user: u64, items: u64, least: f64) {
        self.rows += items as f64;
        *self.sizes.entry(items).or_default() += 1.0;
        if items as f64 >= least {
            self.large.push((items, user));
        }
    }

    /// Users with as many of those with the most items as statistics have entries.
    #[expect(clippy::cast_precision_loss, reason = "rows, far below 2^53")]
    fn shares(&mut self, model: &Model, entries: u64) -> Shares {
        self.large.sort_unstable_by(|a, b| b.cmp(a));
        let first = self.large.iter().take(usize::try_from(entries).unwrap_or(usize::MAX));
        let of = |items: u64| items as f64 / self.rows;
        Shares {
            first: first.map(|&(items, user)| (model.user_id(user).to_string(), of(items))).collect(),
            all: self
                .sizes
                .iter()
                .filter(|(items, _)| **items > 0)
                .map(|(&items, &number)| (of(items), number))
                .collect(),
        }
    }
}

/// Users by the sizes of their libraries, in each leaf and over all.
#[expect(clippy::cast_precision_loss, reason = "rows, far below 2^53")]
fn users(model: &Model, leaves: &[Leaf], entries: u64) -> (BTreeMap<String, Shares>, BTreeMap<String, f64>) {
    let of_leaf = model.sizes().user_media as f64 / leaves.len().max(1) as f64;
    // One that ANALYZE would not see twice is never common.
    let least = 2.0 * of_leaf / Grown::looked_at_in(of_leaf, entries as f64).max(1.0);
    // Leaves are found by their remainder where they all have one modulus, as they have but in the middle of a split.
    let modulus = leaves.first().map_or(1, |leaf| leaf.modulus);
    let is_even = leaves.iter().all(|leaf| leaf.modulus == modulus);
    let by_remainder: BTreeMap<u64, usize> =
        leaves.iter().enumerate().map(|(number, leaf)| (leaf.remainder, number)).collect();
    let place = |hash: u64| match is_even {
        true => by_remainder.get(&(hash % modulus)).copied(),
        false => leaves.iter().position(|leaf| hash % leaf.modulus == leaf.remainder),
    };
    let mut whole = Users::default();
    let mut parts: Vec<Users> = leaves.iter().map(|_| Users::default()).collect();
    for (user, items) in (0..).zip(model.items_of_users()) {
        whole.add(user, items, least);
        if let Some(part) = place(row_hash(model.user_id(user))) {
            parts[part].add(user, items, least);
        }
    }
    let named =
        leaves.iter().map(|leaf| leaf.name.clone()).zip(parts).chain([(USER_MEDIA.1.to_owned(), whole)]);
    named.map(|(name, mut users)| ((name.clone(), users.shares(model, entries)), (name, users.rows))).unzip()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datagen::{Shape, Sizes};

    fn total(shares: &Shares) -> (f64, f64) {
        let rows = shares.all.iter().map(|(share, number)| share * number).sum();
        (rows, shares.all.iter().map(|(_, number)| number).sum())
    }

    #[test]
    fn shares_are_all_of_the_rows() {
        let sizes = Sizes { users: 1_000, media: 5_000, user_media: 100_000 };
        let model = Model::new(1, sizes, &Shape::default());
        let media = media(&model, 10);
        let (rows, values) = total(&media);
        assert!((rows - 1.0).abs() < 1e-9 && (values - 5_000.0).abs() < 1e-9);
        assert!(media.first.len() == 10 && media.first[0].1 > media.first[9].1);
        let leaf = |remainder| Leaf {
            oid: 0,
            schema: "interaction".to_owned(),
            name: format!("user_media_m2_r{remainder}"),
            modulus: 2,
            remainder,
        };
        let (users, rows) = users(&model, &[leaf(0), leaf(1)], 5);
        assert_eq!(rows["user_media_m2_r0"] + rows["user_media_m2_r1"], rows["user_media"]);
        let of_leaf = |name: &str, share: f64| share * rows[name];
        let (all, values) = total(&users["user_media"]);
        assert!((all - 1.0).abs() < 1e-9 && values <= 1_000.0, "{all} {values}");
        let [first, second] =
            ["user_media_m2_r0", "user_media_m2_r1"].map(|name| users[name].first[0].clone());
        let whole = &users["user_media"].first[0];
        assert!(whole.0 == first.0 || whole.0 == second.0);
        let largest = of_leaf("user_media_m2_r0", first.1).max(of_leaf("user_media_m2_r1", second.1));
        assert!((of_leaf("user_media", whole.1) - largest).abs() < 1e-6);
    }
}

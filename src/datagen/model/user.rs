//! Users.

use uuid::Uuid;

use super::{LAUNCH, Micros, Model, NOW, YOUNGEST};
use crate::datagen::words::words;

/// One user.
#[derive(Debug, Clone, Copy)]
pub struct User<'a> {
    pub(super) model: &'a Model,
    pub(super) index: u64,
}

impl User<'_> {
    /// Its index.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.model.user_id(self.index)
    }

    /// Number of rows it has in `interaction.user_media`.
    #[must_use]
    pub fn items(&self) -> u64 {
        self.model.activity.items(self.index)
    }

    /// Its unique name: a name, and the index, which no name contains.
    #[must_use]
    pub fn username(&self) -> String {
        let mut draws = self.model.keys.name.of(self.index);
        let (first, last) = (draws.word(&words().first), draws.word(&words().last));
        format!("{}{}{}", first.to_ascii_lowercase(), last.to_ascii_lowercase(), self.index)
    }

    /// Its unique address.
    #[must_use]
    pub fn email(&self) -> String {
        let mut draws = self.model.keys.name.of(self.index);
        let (first, last) = (draws.word(&words().first), draws.word(&words().last));
        let provider = draws.word(&words().providers);
        format!("{}.{}{}@{provider}", first.to_ascii_lowercase(), last.to_ascii_lowercase(), self.index)
    }

    /// When it signed up: ever more do.
    #[must_use]
    pub fn signup(&self) -> Micros {
        #[expect(clippy::cast_precision_loss, reason = "users are far fewer than 2^53")]
        let share = {
            let at = self.index as f64 + self.model.keys.signup.of(self.index).unit();
            (at / self.model.sizes.users as f64).sqrt()
        };
        // A square root of a number below 1 may round to 1 but not beyond.
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            reason = "below 2^53 either way"
        )]
        let since = ((NOW - YOUNGEST - LAUNCH) as f64 * share) as i64;
        LAUNCH + since
    }

    /// How much better (or worse) than others it rates everything, in points.
    #[must_use]
    pub(in crate::datagen) fn bias(&self) -> f64 {
        self.model.keys.bias.of(self.index).unit() * 2.0 - 1.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::datagen::Sizes;

    #[test]
    fn names_and_addresses_are_unique() {
        let model = Model::new(3, Sizes { users: 20_000, media: 10, user_media: 0 });
        let names: HashSet<String> = (0..20_000).map(|i| model.user(i).username()).collect();
        let addresses: HashSet<String> = (0..20_000).map(|i| model.user(i).email()).collect();
        assert_eq!((names.len(), addresses.len()), (20_000, 20_000));
        assert!(addresses.iter().all(|address| address.is_ascii() && address.matches('@').count() == 1));
    }

    #[test]
    fn users_sign_up_in_the_order_of_their_indexes() {
        let model = Model::new(3, Sizes { users: 1000, media: 10, user_media: 0 });
        let times: Vec<Micros> = (0..1000).map(|i| model.user(i).signup()).collect();
        assert!(times.is_sorted() && times[0] >= LAUNCH && times[999] <= NOW - YOUNGEST);
        assert!(times[500] - LAUNCH > (NOW - LAUNCH) * 6 / 10, "sign-ups do not grow");
    }
}

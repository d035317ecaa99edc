//! In which order the rows of `interaction.user_media` lie in a leaf. The rows are the same either way.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::model::{LAUNCH, Micros, Model, NOW, Pick};
use super::random::share;
use crate::verdict::UsageError;

/// Physical order of the rows of a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// As they were written over the years: a user's rows are scattered over the leaf, as in production.
    #[default]
    Arrival,
    /// Sorted by key: a user's rows lie side by side, as right after a `CLUSTER`.
    Clustered,
}

impl Layout {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Arrival => "arrival",
            Self::Clustered => "clustered",
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Layout {
    type Err = UsageError;

    fn from_str(text: &str) -> Result<Self, UsageError> {
        [Self::Arrival, Self::Clustered]
            .into_iter()
            .find(|layout| layout.name() == text)
            .ok_or_else(|| UsageError(format!("{text:?} is not a layout; they are arrival and clustered")))
    }
}

/// A user with items, and how many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Index of the user.
    pub user: u32,
    /// Number of items, at least one.
    pub items: u32,
}

/// Hands every item of `members`, who stand in the order of their indexes, to `each` in the order of `layout`, while that
/// returns true. Takes some 30 bytes a member and 10 MB, however many items there are.
pub fn walk(model: &Model, members: Vec<Member>, layout: Layout, mut each: impl FnMut(u64, Pick) -> bool) {
    match layout {
        Layout::Arrival => Arrivals::new(model, members).walk(&mut each),
        Layout::Clustered => clustered(model, members, &mut each),
    }
}

fn clustered(model: &Model, mut members: Vec<Member>, each: &mut impl FnMut(u64, Pick) -> bool) {
    members.sort_by_cached_key(|member| model.user_id(u64::from(member.user)));
    let mut picks = Vec::new();
    for Member { user, items } in members {
        let library = model.library(u64::from(user), u64::from(items));
        picks.extend((0..u64::from(items)).map(|number| library.pick(number)));
        picks.sort_by_cached_key(|pick: &Pick| model.media_id(pick.media));
        for pick in picks.drain(..) {
            if !each(u64::from(user), pick) {
                return;
            }
        }
    }
}

/// Fewest and most rows sorted at a time: few stay in the processor's own cache, but every window asks every member.
const WINDOW: std::ops::Range<u64> = 1 << 13..1 << 16;
/// Samples by which the end of one window is guessed.
const SAMPLES: u64 = 16;

/// The items of many users by time, without ever holding more than one stretch of time: each user's are wanted one after
/// the other, so all that must be known of a user is the next. The few that are added later than they were wanted
/// ([`super::model::Library::pick`]) wait in a heap.
struct Arrivals<'a> {
    model: &'a Model,
    members: Vec<Member>,
    /// When each member wants the next item; after the last one never.
    next: Vec<Micros>,
    /// The number of that item.
    number: Vec<u32>,
    /// When it is added, by whom, and which it is.
    waiting: BinaryHeap<Reverse<(Micros, u32, u32)>>,
    window: Vec<Arrival>,
}

/// An item at its place in time.
#[derive(Debug)]
struct Arrival {
    /// Position of the member.
    member: u32,
    number: u32,
    pick: Pick,
}

const NEVER: Micros = Micros::MAX;

impl<'a> Arrivals<'a> {
    fn new(model: &'a Model, members: Vec<Member>) -> Self {
        let first = |member: &Member| model.library(member.user.into(), member.items.into()).wanted(0);
        Self {
            model,
            next: members.iter().map(first).collect(),
            number: vec![0; members.len()],
            members,
            waiting: BinaryHeap::new(),
            window: Vec::new(),
        }
    }

    fn walk(mut self, each: &mut impl FnMut(u64, Pick) -> bool) {
        let (mut begin, mut order) = (LAUNCH, Order::default());
        for end in self.ends() {
            self.fill(end);
            order.sort(&self.window, begin, end);
            for &at in &order.sorted {
                let Arrival { member, pick, .. } = &self.window[at as usize];
                let user = self.members[*member as usize].user;
                if !each(u64::from(user), pick.clone()) {
                    return;
                }
            }
            self.window.clear();
            begin = end;
        }
    }

    /// Where the windows end, so that each holds about equally many items; the last one after everything.
    fn ends(&self) -> Vec<Micros> {
        let items: u64 = self.members.iter().map(|member| u64::from(member.items)).sum();
        let window = (self.members.len() as u64 / 10).clamp(WINDOW.start, WINDOW.end);
        let step = window / SAMPLES;
        let mut samples = Vec::new();
        let mut before = 0u64;
        for member in &self.members {
            let own = u64::from(member.items);
            let first = before.next_multiple_of(step);
            if first < before + own {
                let library = self.model.library(member.user.into(), own);
                let numbers = (first..before + own).step_by(usize::try_from(step).unwrap_or(1));
                samples.extend(numbers.map(|at| library.wanted(at - before)));
            }
            before += own;
        }
        samples.sort_unstable();
        debug_assert_eq!(before, items);
        let inner = samples.chunks_exact(usize::try_from(SAMPLES).unwrap_or(1)).map(|chunk| chunk[0]);
        inner.skip(1).chain([NOW + 1]).collect()
    }

    /// Gathers everything that is added before `end` and not before.
    fn fill(&mut self, end: Micros) {
        while let Some(Reverse((_, member, number))) =
            self.waiting.peek().filter(|Reverse(first)| first.0 < end).copied()
        {
            self.waiting.pop();
            let Member { user, items } = self.members[member as usize];
            let pick = self.model.library(user.into(), items.into()).pick(number.into());
            self.window.push(Arrival { member, number, pick });
        }
        for at in 0..self.next.len() {
            if self.next[at] < end {
                self.advance(at, end);
            }
        }
    }

    /// Takes what member `at` wants before `end`.
    fn advance(&mut self, at: usize, end: Micros) {
        let member = u32::try_from(at).unwrap_or(u32::MAX);
        let Member { user, items } = self.members[at];
        let library = self.model.library(user.into(), items.into());
        let mut number = self.number[at];
        while self.next[at] < end {
            let pick = library.pick_at(number.into(), self.next[at]);
            if pick.created < end {
                self.window.push(Arrival { member, number, pick });
            } else {
                self.waiting.push(Reverse((pick.created, member, number)));
            }
            number += 1;
            self.next[at] = if number < items { library.wanted(number.into()) } else { NEVER };
        }
        self.number[at] = number;
    }
}

/// The order of a window by time: of positions, since items are large.
#[derive(Default)]
struct Order {
    slots: Vec<u32>,
    sorted: Vec<u32>,
}

impl Order {
    /// Sorts the items of `window`, which lie between `begin` and `end`: each into a slot of equally long time, of which
    /// there are as many as items, then the few of a slot among themselves. Twice as fast as sorting by comparison.
    fn sort(&mut self, window: &[Arrival], begin: Micros, end: Micros) {
        let count = window.len() as u64;
        // A multiplication instead of a division an item.
        let scale = u64::MAX / end.abs_diff(begin).max(1);
        #[expect(clippy::cast_possible_truncation, reason = "as many as items")]
        let slot =
            |item: &Arrival| share(count, item.pick.created.abs_diff(begin).saturating_mul(scale)) as usize;
        self.slots.clear();
        self.slots.resize(window.len() + 1, 0);
        for item in window {
            self.slots[slot(item)] += 1;
        }
        // From the number of items in a slot to the end of the slot; filled from its end, it becomes the beginning.
        let mut before = 0;
        for slot in &mut self.slots {
            before += *slot;
            *slot = before;
        }
        self.sorted.clear();
        self.sorted.resize(window.len(), 0);
        for (at, item) in (0u32..).zip(window) {
            let place = &mut self.slots[slot(item)];
            *place -= 1;
            self.sorted[*place as usize] = at;
        }
        // Two items of one user never have the same number.
        let key = |at: u32| {
            let item = &window[at as usize];
            (item.pick.created, item.member, item.number)
        };
        for bounds in self.slots.windows(2).filter(|bounds| bounds[1] - bounds[0] > 1) {
            let slot = &mut self.sorted[bounds[0] as usize..bounds[1] as usize];
            slot.sort_unstable_by_key(|&at| key(at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datagen::Sizes;
    use crate::datagen::shape::Shape;

    fn members(model: &Model) -> Vec<Member> {
        let all = (0..).zip(model.items_of_users()).filter(|&(_, items)| items > 0);
        all.map(|(user, items)| Member { user, items: u32::try_from(items).unwrap() }).collect()
    }

    #[test]
    fn rows_come_in_the_order_of_time_and_each_once() {
        let sizes = Sizes { users: 3_000, media: 20_000, user_media: 300_000 };
        let model = Model::new(9, sizes, &Shape::default());
        let mut seen = std::collections::HashSet::new();
        let (mut last, mut side_by_side, mut before) = (0, 0u32, u64::MAX);
        walk(&model, members(&model), Layout::Arrival, |user, pick| {
            assert!(pick.created >= last, "row {}", seen.len());
            last = pick.created;
            side_by_side += u32::from(user == before);
            before = user;
            assert!(seen.insert((user, pick.media)));
            true
        });
        assert_eq!(seen.len(), 300_000);
        assert!(side_by_side < 15_000, "{side_by_side}");
    }

    #[test]
    fn clustered_rows_are_sorted_by_key() {
        let sizes = Sizes { users: 300, media: 2_000, user_media: 20_000 };
        let model = Model::new(9, sizes, &Shape::default());
        let mut keys = Vec::new();
        walk(&model, members(&model), Layout::Clustered, |user, pick| {
            keys.push((model.user_id(user), model.media_id(pick.media)));
            true
        });
        assert!(keys.len() == 20_000 && keys.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn whoever_has_enough_is_asked_no_more() {
        let sizes = Sizes { users: 30, media: 2_000, user_media: 2_000 };
        let model = Model::new(9, sizes, &Shape::default());
        for layout in [Layout::Arrival, Layout::Clustered] {
            let mut left = 10;
            walk(&model, members(&model), layout, |_, _| {
                left -= 1;
                left > 0
            });
            assert_eq!(left, 0);
        }
    }
}

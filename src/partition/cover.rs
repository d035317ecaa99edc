//! Whether bounds take every hash exactly once: proven by counting, explained by naming what is wrong.

use std::fmt;

use super::bound::{HashBound, gaps};

/// What keeps bounds from taking every hash exactly once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nobody takes these hashes.
    Gap(HashBound),
    /// Both take some hashes.
    Overlap(HashBound, HashBound),
    /// Neither modulus divides the other: PostgreSQL takes no such pair.
    NoChain(HashBound, HashBound),
}

/// `no leaf for hash mod 32 = 3`.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gap(HashBound { modulus: 1, .. }) => f.write_str("no leaf for any hash"),
            Self::Gap(gap) => write!(f, "no leaf for hash {}", congruence(*gap)),
            Self::Overlap(a, b) => write!(f, "overlap of hash {} and {}", congruence(*a), congruence(*b)),
            Self::NoChain(a, b) => {
                write!(f, "of the moduli {} and {} neither divides the other", a.modulus, b.modulus)
            }
        }
    }
}

fn congruence(bound: HashBound) -> String {
    format!("mod {} = {}", bound.modulus, bound.remainder)
}

/// What is wrong with the bounds of a table's leaves; empty exactly when every hash has one leaf.
///
/// Moduli that divide one another have the greatest as their least common multiple. A leaf takes `greatest / modulus` of
/// its remainders. Where no two leaves share one, and the sum over the leaves is all of them, each is taken once.
#[must_use]
pub fn faults(leaves: &[HashBound]) -> Vec<Fault> {
    let mut found: Vec<Fault> = pairs(leaves).filter_map(|(a, b)| clash(a, b)).collect();
    if found.iter().any(|fault| matches!(fault, Fault::NoChain(..))) {
        return found;
    }
    let greatest = leaves.iter().map(|leaf| leaf.modulus).max().unwrap_or(1);
    let taken: u128 = leaves.iter().map(|leaf| u128::from(greatest / leaf.modulus)).sum();
    if !found.is_empty() || taken != u128::from(greatest) {
        found.extend(gaps(leaves).into_iter().map(Fault::Gap));
    }
    found
}

fn pairs(leaves: &[HashBound]) -> impl Iterator<Item = (HashBound, HashBound)> {
    leaves.iter().enumerate().flat_map(|(at, &a)| leaves.iter().skip(at + 1).map(move |&b| (a, b)))
}

fn clash(a: HashBound, b: HashBound) -> Option<Fault> {
    let (coarse, fine) = if a.modulus <= b.modulus { (a, b) } else { (b, a) };
    if !fine.modulus.is_multiple_of(coarse.modulus) {
        return Some(Fault::NoChain(coarse, fine));
    }
    coarse.contains(fine).then_some(Fault::Overlap(coarse, fine))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bound(modulus: u64, remainder: u64) -> HashBound {
        HashBound { modulus, remainder }
    }

    #[test]
    fn faults_are_said_as_people_say_them() {
        let said = |leaves: &[HashBound]| {
            faults(leaves).iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        };
        assert_eq!(said(&[]), "no leaf for any hash");
        assert_eq!(said(&[bound(2, 0), bound(4, 1)]), "no leaf for hash mod 4 = 3");
        assert_eq!(said(&[bound(2, 0), bound(4, 2), bound(2, 1)]), "overlap of hash mod 2 = 0 and mod 4 = 2");
        assert_eq!(said(&[bound(4, 0), bound(6, 1)]), "of the moduli 4 and 6 neither divides the other");
    }

    proptest! {
        /// Against counting every remainder of the greatest modulus by hand.
        #[test]
        fn the_proof_is_right(leaves in prop::collection::vec((0_u32..4, 0_u64..8), 0..12)) {
            let leaves: Vec<HashBound> =
                leaves.into_iter().map(|(power, r)| bound(1 << power, r % (1 << power))).collect();
            let takers = |hash: u64| leaves.iter().filter(|leaf| hash % leaf.modulus == leaf.remainder).count();
            let exactly_once = (0..8).all(|hash| takers(hash) == 1);
            prop_assert_eq!(faults(&leaves).is_empty(), exactly_once);
            let has_gap = faults(&leaves).iter().any(|fault| matches!(fault, Fault::Gap(_)));
            prop_assert_eq!(has_gap, (0..8).any(|hash| takers(hash) == 0));
        }
    }
}

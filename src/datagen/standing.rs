//! Whether a load begins anew, goes on, or is done: decided from the ledger, without a server.

use super::ledger::DataSet;
use super::{Foreign, Shard, Spec, Start};
use crate::verdict::UsageError;

/// Where a load stands when it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Everything is to be emptied and loaded.
    Anew,
    /// A load of the same data set is under way, or was cut short.
    Begun,
    /// Everything is there.
    Done,
}

/// Decides where the load of `spec` begins, from what the ledger says.
pub(super) fn standing(found: Option<&DataSet>, spec: &Spec) -> Result<Standing, UsageError> {
    let sharded = spec.shard.of > Shard::WHOLE.of;
    let resumes = spec.start == Start::Resume;
    match found {
        None if resumes => Err(UsageError(
            "nothing was generated into this database, so there is nothing to resume".to_owned(),
        )),
        Some(found) if found.is(spec) && (resumes || sharded) => match found.shards == spec.shard.of.get() {
            _ if found.complete => Ok(Standing::Done),
            // One run alone finishes what any number has begun.
            same if same || !sharded => Ok(Standing::Begun),
            _ => Err(UsageError(format!(
                "a load of this data set is unfinished: finish it with {}",
                finish(found)
            ))),
        },
        Some(found) if resumes => Err(UsageError(format!(
            "the load in this database is of other data: {}; resume it with the same arguments, or begin anew without \
             --resume",
            found.differs(spec).join(", ")
        ))),
        // Others may be loading it at this moment.
        Some(found) if sharded && !found.complete && spec.foreign == Foreign::Refuse => {
            Err(UsageError(format!(
                "a load of other data is unfinished: {}; finish it with {}, or empty everything with --yes once nobody loads it",
                found.differs(spec).join(", "),
                finish(found)
            )))
        }
        _ => Ok(Standing::Anew),
    }
}

fn finish(found: &DataSet) -> String {
    match found.shards {
        1 => "--resume".to_owned(),
        shards => format!("--shard I/{shards} or, alone, with --resume"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datagen::{DATA_VERSION, Layout, Profile, Shape};

    fn spec(start: Start, shard: (u32, u32)) -> Spec {
        let shard = Shard::new(shard.0, shard.1).unwrap();
        Spec { start, shard, ..Spec::of(7, Profile::Smoke.sizes()) }
    }

    fn found(complete: bool, shards: u32) -> DataSet {
        DataSet {
            seed: 7,
            data_version: DATA_VERSION,
            sizes: Profile::Smoke.sizes(),
            shape: Shape::default(),
            layout: Layout::default(),
            shards,
            complete,
            written_to: false,
        }
    }

    #[test]
    fn a_load_begins_anew_unless_told_otherwise() {
        let anew = spec(Start::Anew, (1, 1));
        for found in [None, Some(&found(true, 1)), Some(&found(false, 4))] {
            assert_eq!(standing(found, &anew), Ok(Standing::Anew));
        }
    }

    #[test]
    fn only_the_same_data_set_is_resumed() {
        let resume = spec(Start::Resume, (1, 1));
        assert_eq!(standing(Some(&found(false, 4)), &resume), Ok(Standing::Begun));
        assert_eq!(standing(Some(&found(true, 4)), &resume), Ok(Standing::Done));
        assert!(standing(None, &resume).unwrap_err().0.contains("nothing to resume"));
        let others = [
            DataSet { seed: 8, ..found(false, 1) },
            DataSet { layout: Layout::Clustered, ..found(false, 1) },
            DataSet { data_version: 1, ..found(false, 1) },
        ];
        for other in others {
            assert!(standing(Some(&other), &resume).unwrap_err().0.contains("other data"), "{other:?}");
        }
    }

    #[test]
    fn shards_join_what_their_like_began() {
        let shard = spec(Start::Anew, (2, 4));
        assert_eq!(standing(None, &shard), Ok(Standing::Anew));
        assert_eq!(standing(Some(&found(false, 4)), &shard), Ok(Standing::Begun));
        assert_eq!(standing(Some(&found(true, 4)), &shard), Ok(Standing::Done));
        assert!(standing(Some(&found(false, 3)), &shard).unwrap_err().0.contains("--shard I/3"));
        assert!(standing(Some(&found(false, 1)), &shard).unwrap_err().0.ends_with("finish it with --resume"));
    }

    #[test]
    fn a_shard_does_not_empty_what_others_may_be_loading() {
        let shard = spec(Start::Anew, (2, 4));
        let shape = Shape::default().with(crate::datagen::Knob::Notes, 0.5).unwrap();
        let other = DataSet { seed: 8, shape, ..found(false, 4) };
        let refused = standing(Some(&other), &shard).unwrap_err().0;
        assert!(refused.contains("seed 8") && refused.contains("notes 0.5"), "{refused}");
        let consent = Spec { foreign: Foreign::Truncate, ..shard };
        assert_eq!(standing(Some(&other), &consent), Ok(Standing::Anew));
        assert_eq!(standing(Some(&DataSet { complete: true, ..other }), &shard), Ok(Standing::Anew));
    }
}

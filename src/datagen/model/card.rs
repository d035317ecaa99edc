//! What a row of a user's library says of its medium, worked out once for the media that most rows are about.

use super::{Medium, Micros};
use crate::datagen::json::Json;
use crate::datagen::row::{Encoded, Rows};

/// Media whose cards are kept: three fifths of all rows of the largest catalogue are about them, and they nearly fit into a
/// processor's own cache. Of more, the rarer ones would cost more to fetch than to work out.
pub(super) const KEPT: u64 = 1 << 12;
/// Room for nearly every snapshot.
const SNAPSHOT: usize = 96;

/// A medium as the rows of a library have it.
#[derive(Debug, Clone)]
pub(in crate::datagen) struct Card {
    pub(in crate::datagen) media: u64,
    pub(in crate::datagen) entered: Micros,
    pub(in crate::datagen) nature: Nature,
    /// The column `media_id`.
    pub(in crate::datagen) id: Encoded<20>,
    /// The column `meta_snapshot`.
    pub(in crate::datagen) snapshot: Encoded<SNAPSHOT>,
}

/// What decides how a medium is used.
#[derive(Debug, Clone, Copy)]
pub(in crate::datagen) struct Nature {
    pub(in crate::datagen) length: u64,
    /// Among its kind, as a fraction of 2^64.
    pub(in crate::datagen) relative_length: u64,
    pub(in crate::datagen) quality: f64,
}

impl Nature {
    #[inline]
    pub(in crate::datagen) fn of(medium: &Medium<'_>) -> Self {
        let (length, relative_length) = medium.lengths();
        Self { length, relative_length, quality: medium.quality() }
    }
}

impl Card {
    /// `None` where its title is too long to be kept.
    pub(super) fn of(medium: &Medium<'_>) -> Option<Self> {
        Some(Self {
            media: medium.index(),
            entered: medium.entered(),
            nature: Nature::of(medium),
            id: Rows::encode(|rows| rows.uuid(medium.id()))?,
            snapshot: Rows::encode(|rows| rows.json(|json| snapshot(medium, json)))?,
        })
    }
}

/// What a user saw of the medium when it was added.
#[inline]
pub(in crate::datagen) fn snapshot(medium: &Medium<'_>, json: &mut Json<'_>) {
    json.text("type", &[medium.kind().name()]);
    json.text("title", &medium.title_parts());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datagen::shape::Shape;
    use crate::datagen::{Model, Sizes};

    #[test]
    fn nearly_every_card_is_kept_and_says_what_its_medium_does() {
        let sizes = Sizes { users: 1, media: 30_000, user_media: 0 };
        let model = Model::new(3, sizes, &Shape::default());
        let kept = (0..KEPT).filter(|&rank| model.kept(rank).is_some()).count();
        assert!(kept > 4_000, "{kept}");
        assert!(model.kept(KEPT).is_none());
        let card = model.kept(17).unwrap();
        assert_eq!(card.media, model.media_by_rank(17));
        assert_eq!(card.entered, model.media(card.media).entered());
    }
}

//! Histograms in a JSON document: the compressed form of `HdrHistogram`'s version 2, in base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer as HdrReader, Serializer as _, V2DeflateSerializer};
use serde::{Deserialize, Deserializer, Serializer, de, ser};

pub(super) fn serialize<S: Serializer>(histogram: &Histogram<u64>, out: S) -> Result<S::Ok, S::Error> {
    let mut bytes = Vec::new();
    let written = V2DeflateSerializer::new().serialize(histogram, &mut bytes);
    written.map_err(|error| ser::Error::custom(format!("encode a histogram: {error:?}")))?;
    out.serialize_str(&STANDARD.encode(bytes))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Histogram<u64>, D::Error> {
    let text = String::deserialize(from)?;
    let bytes = STANDARD.decode(text).map_err(|error| de::Error::custom(format!("a histogram: {error}")))?;
    let read = HdrReader::new().deserialize(&mut bytes.as_slice());
    let mut histogram: Histogram<u64> =
        read.map_err(|error| de::Error::custom(format!("a histogram: {error:?}")))?;
    histogram.auto(true);
    Ok(histogram)
}

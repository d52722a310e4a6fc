//! Moments as people and programs read them: RFC 3339, UTC, milliseconds.
//!
//! **Always**: every [`Time`] has a text (after the year 9999, that of its last moment), and
//! each text in this form reads back as the same time. Texts with an offset or other fractions
//! are read too.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use waxwing_protocol::time::Time;

/// A [`Time`] that is written as RFC 3339 (`2026-11-24T20:15:03.250Z`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub Time);

/// A text is not an RFC 3339 time from 1970 or later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a time is written like 2026-11-24T20:15:03.250Z")]
pub struct TimestampMalformed;

impl From<Time> for Timestamp {
    fn from(time: Time) -> Self {
        Self(time)
    }
}

impl core::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let ms = i64::try_from(self.0.0).unwrap_or(i64::MAX);
        let moment = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX);
        write!(f, "{moment:.3}")
    }
}

impl core::str::FromStr for Timestamp {
    type Err = TimestampMalformed;

    fn from_str(text: &str) -> Result<Self, TimestampMalformed> {
        let moment: jiff::Timestamp = text.parse().map_err(|_| TimestampMalformed)?;
        let ms = u64::try_from(moment.as_millisecond()).map_err(|_| TimestampMalformed)?;
        Ok(Self(Time(ms)))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl schemars::JsonSchema for Timestamp {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A time in UTC, such as `2026-11-24T20:15:03.250Z`.",
            "type": "string",
            "format": "date-time",
        })
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_moments_have_their_known_texts() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_795_551_303_250, "2026-11-24T20:15:03.250Z"),
        ] {
            assert_eq!(Timestamp(Time(ms)).to_string(), text);
            assert_eq!(text.parse(), Ok(Timestamp(Time(ms))));
        }
    }

    #[test]
    fn an_offset_is_taken_into_account() {
        let utc: Timestamp = "2026-11-24T20:15:03Z".parse().unwrap();
        assert_eq!("2026-11-24T22:15:03+02:00".parse(), Ok(utc));
        assert_eq!("2026-11-24T15:45:03-04:30".parse(), Ok(utc));
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in [
            "",
            "now",
            "2026-11-24",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-11-24T24:00:00Z",
            "2026-11-24T20:15:03",
            "2026-11-24T20:15:03.Z",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+01:00",
            "2026-11-24T20:15:03Zé",
        ] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_after_the_year_9999_has_a_text() {
        let last = Timestamp(Time(u64::MAX)).to_string();
        assert!(last.starts_with("9999-12-30T"), "{last}");
        assert!(last.parse::<Timestamp>().is_ok());
    }

    proptest! {
        #[test]
        fn a_time_reads_back_as_it_was_written(ms in 0_u64..253_402_207_200_000) {
            let time = Timestamp(Time(ms));
            prop_assert_eq!(time.to_string().parse(), Ok(time));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in ".{0,40}") {
            let _ = text.parse::<Timestamp>();
        }
    }
}

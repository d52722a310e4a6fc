//! Moments as people and programs read them: RFC 3339, UTC, milliseconds.
//!
//! **Always**: every [`Time`] has a text, and each text in this form reads back
//! as the same time. Texts with an offset or other fractions are read too.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use waxwing_protocol::time::Time;

const MS_PER_DAY: u64 = 86_400_000;

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
        let ms = self.0.0;
        let (year, month, day) = date_of(ms / MS_PER_DAY);
        let in_day = ms % MS_PER_DAY;
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
            in_day / 3_600_000,
            in_day / 60_000 % 60,
            in_day / 1_000 % 60,
            in_day % 1_000
        )
    }
}

impl core::str::FromStr for Timestamp {
    type Err = TimestampMalformed;

    fn from_str(text: &str) -> Result<Self, TimestampMalformed> {
        read(text)
            .map(|ms| Self(Time(ms)))
            .ok_or(TimestampMalformed)
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

/// Days since 1970-01-01 to a date of the Gregorian calendar (eras of 400 years
/// that start on 1 March, so that the leap day is a year's last).
fn date_of(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

fn days_of(year: u64, month: u64, day: u64) -> u64 {
    let year = year - u64::from(month <= 2);
    let (era, year_of_era) = (year / 400, year % 400);
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn read(text: &str) -> Option<u64> {
    let (date, rest) = text.split_once(['T', 't', ' '])?;
    let mut fields = date.split('-');
    let (year, month, day) = (
        number(fields.next()?, 4)?,
        number(fields.next()?, 2)?,
        number(fields.next()?, 2)?,
    );
    let zone_at = rest.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = rest.split_at_checked(zone_at)?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut parts = clock.split(':');
    let (hour, minute, second) = (
        number(parts.next()?, 2)?,
        number(parts.next()?, 2)?,
        number(parts.next()?, 2)?,
    );
    let valid = fields.next().is_none()
        && parts.next().is_none()
        && (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !valid || date_of(days_of(year, month, day)) != (year, month, day) {
        return None;
    }
    let milliseconds = milliseconds_of(fraction)?;
    let local = days_of(year, month, day) * MS_PER_DAY
        + ((hour * 60 + minute) * 60 + second) * 1_000
        + milliseconds;
    match zone.split_at_checked(1)? {
        ("Z" | "z", "") => Some(local),
        (sign, offset) => {
            let (hours, minutes) = offset.split_once(':')?;
            let offset = (number(hours, 2)? * 60 + number(minutes, 2)?) * 60_000;
            if sign == "+" {
                local.checked_sub(offset)
            } else {
                Some(local + offset)
            }
        }
    }
}

fn number(digits: &str, length: usize) -> Option<u64> {
    let plain = digits.len() == length && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

fn milliseconds_of(fraction: &str) -> Option<u64> {
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = fraction.bytes().chain(*b"000").take(3);
    Some(digits.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
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

    proptest! {
        #[test]
        fn a_time_reads_back_as_it_was_written(ms in 0_u64..253_402_300_800_000) {
            let time = Timestamp(Time(ms));
            prop_assert_eq!(time.to_string().parse(), Ok(time));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in ".{0,40}") {
            let _ = text.parse::<Timestamp>();
        }
    }
}

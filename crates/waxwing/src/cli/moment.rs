//! Times that people write for `--at`.

use jiff::{
    SignedDuration, Zoned,
    civil::{DateTime, Time as ClockTime},
};
use waxwing_engine::api::Timestamp;
use waxwing_protocol::time::Time;

/// How times can be written.
const HINT: &str = "write a time like 18:30, 2026-12-24T08:00 or +2h (m, h, d)";

/// A moment to come, as people write it.
pub(super) fn moment(text: &str) -> Result<Timestamp, String> {
    from(text, &Zoned::now()).ok_or_else(|| HINT.to_owned())
}

/// The moment that is meant, if it is written at this time.
fn from(text: &str, now: &Zoned) -> Option<Timestamp> {
    let text = text.trim();
    let moment = if let Some(span) = text.strip_prefix('+') {
        now.checked_add(duration(span)?).ok()?
    } else if let Ok(clock) = ClockTime::strptime("%H:%M", text) {
        let today = now
            .date()
            .to_datetime(clock)
            .to_zoned(now.time_zone().clone());
        let today = today.ok()?;
        if today > *now {
            today
        } else {
            let tomorrow = now.date().tomorrow().ok()?.to_datetime(clock);
            tomorrow.to_zoned(now.time_zone().clone()).ok()?
        }
    } else {
        let written: DateTime = text.parse().ok()?;
        written.to_zoned(now.time_zone().clone()).ok()?
    };
    let ms = u64::try_from(moment.timestamp().as_millisecond()).ok()?;
    Some(Time(ms).into())
}

/// A number and a unit.
fn duration(text: &str) -> Option<SignedDuration> {
    let unit = text.chars().next_back()?;
    let number: i64 = text.strip_suffix(unit)?.parse().ok()?;
    let seconds = match unit {
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    let seconds = number.checked_mul(seconds).filter(|seconds| *seconds > 0)?;
    Some(SignedDuration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_the_next_one_that_it_can_be() {
        let now: Zoned = "2026-11-30T12:00:00+02:00[Africa/Cairo]".parse().unwrap();
        let hours = |text: &str| {
            let ms = from(text, &now)?.0.0.cast_signed() - now.timestamp().as_millisecond();
            Some(ms / 360_000)
        };
        for (text, tenths) in [
            ("18:30", Some(65)),
            ("12:00", Some(240)),
            ("11:00", Some(230)),
            ("2026-12-01T12:00", Some(240)),
            ("2026-12-01 13:00", Some(250)),
            ("+90m", Some(15)),
            ("+2h", Some(20)),
            ("+1d", Some(240)),
            ("+0h", None),
            ("+2y", None),
            ("soon", None),
            ("25:00", None),
            ("", None),
        ] {
            assert_eq!(hours(text), tenths, "{text}");
        }
    }
}

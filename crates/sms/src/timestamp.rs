//! Times as messages carry them (TP-SCTS, TS 23.040 section 9.2.3.11).
//!
//! **Elsewhere**: the program that shows a time decides how.
//!
//! **Always**: a time is the service centre's word. It is kept as it came, and read only where
//! it is one.

/// Seven octets: year, month, day, hour, minute, second, quarters of an hour from UTC, the two
/// digits of each swapped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timestamp(pub [u8; 7]);

impl Timestamp {
    /// Seconds since 1970, in UTC; none where it is no time. Years are those from 1970 to 2069.
    pub fn unix_seconds(self) -> Option<i64> {
        let [year, month, day, hour, minute, second, zone] = self.0;
        let year = two_digits(year)?;
        let year = if year < 70 { 2000 + year } else { 1900 + year };
        let (month, day) = (two_digits(month)?, two_digits(day)?);
        let (hour, minute, second) = (two_digits(hour)?, two_digits(minute)?, two_digits(second)?);
        let sane = (1..=12).contains(&month)
            && (1..=days_in(year, month)).contains(&day)
            && hour < 24
            && minute < 60
            && second < 60;
        let quarters = two_digits(zone & !0x08)?;
        if !sane || quarters > 56 {
            return None;
        }
        let ahead = if zone & 0x08 == 0 {
            quarters
        } else {
            -quarters
        } * 900;
        let clock = hour * 3_600 + minute * 60 + second;
        Some(days_since_1970(year, month, day) * 86_400 + clock - ahead)
    }

    /// This moment, in UTC. Seconds before 1970 or after 2069 are written as 1970.
    pub fn at(unix_seconds: i64) -> Self {
        const LAST: i64 = 3_155_759_999;
        let seconds = if (0..=LAST).contains(&unix_seconds) {
            unix_seconds
        } else {
            0
        };
        let (year, month, day) = date(seconds / 86_400);
        let clock = seconds % 86_400;
        Self(
            [
                year % 100,
                month,
                day,
                clock / 3_600,
                clock / 60 % 60,
                clock % 60,
                0,
            ]
            .map(swapped),
        )
    }
}

fn two_digits(octet: u8) -> Option<i64> {
    let (tens, ones) = (octet & 0x0f, octet >> 4);
    (tens < 10 && ones < 10).then_some(i64::from(tens) * 10 + i64::from(ones))
}

fn swapped(number: i64) -> u8 {
    let (tens, ones) = (number / 10 % 10, number % 10);
    u8::try_from(ones << 4 | tens).unwrap_or_default()
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days of the Gregorian calendar; years begin in March, so that a leap day is the last one.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month > 2 { year } else { year - 1 };
    let month = (month + 9) % 12;
    let leaps = year / 4 - year / 100 + year / 400;
    365 * year + leaps + (month * 306 + 5) / 10 + day - 1 - 719_468
}

fn date(days: i64) -> (i64, i64, i64) {
    let mut year = 1970 + days / 366;
    while days_since_1970(year + 1, 1, 1) <= days {
        year += 1;
    }
    let mut month = 1;
    while month < 12 && days_since_1970(year, month + 1, 1) <= days {
        month += 1;
    }
    (year, month, days - days_since_1970(year, month, 1) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_with_its_zone() {
        // 2011-03-22 14:25:40 +09:00.
        let time = Timestamp([0x11, 0x30, 0x22, 0x41, 0x52, 0x04, 0x63]);
        assert_eq!(time.unix_seconds(), Some(1_300_771_540));
        // The same moment, seen from five hours behind: the sign is bit 3.
        let time = Timestamp([0x11, 0x30, 0x22, 0x00, 0x52, 0x04, 0x0a]);
        assert_eq!(time.unix_seconds(), Some(1_300_771_540));
    }

    #[test]
    fn each_day_comes_back() {
        for day in 0..36_524 {
            let second = day * 86_400 + (day * 7_919) % 86_400;
            assert_eq!(Timestamp::at(second).unix_seconds(), Some(second), "{day}");
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for octets in [
            [0; 7],
            [0xff; 7],
            [0x11, 0x20, 0x03, 0, 0, 0, 0],
            [0x11, 0x10, 0x10, 0x42, 0, 0, 0],
            [0x11, 0x10, 0x10, 0, 0, 0, 0xf7],
        ] {
            assert_eq!(Timestamp(octets).unix_seconds(), None, "{octets:x?}");
        }
        assert_eq!(Timestamp::at(-1).unix_seconds(), Some(0));
    }
}

//! Times as messages carry them (TP-SCTS, TS 23.040 section 9.2.3.11).
//!
//! **Elsewhere**: the program that shows a time decides how.
//!
//! **Always**: a time is the service centre's word. It is kept as it came. A digit that is not one
//! counts as 0, as 9.2.3.11 says.

/// Seven octets: year, month, day, hour, minute, second, quarters of an hour from UTC, the two
/// digits of each swapped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timestamp(pub [u8; 7]);

impl Timestamp {
    /// Seconds since 1970, in UTC; none where the calendar does not have it. Years are those from
    /// 1970 to 2069.
    ///
    /// "If the MS receives a non-integer value in the SCTS, it shall assume that the digit is set
    /// to 0" (9.2.3.11).
    pub fn unix_seconds(self) -> Option<i64> {
        let [year, month, day, hour, minute, second, zone] = self.0;
        let year = four_digits(year);
        let (month, day) = (two_digits(month), two_digits(day));
        let (hour, minute, second) = (two_digits(hour), two_digits(minute), two_digits(second));
        let sane = (1..=12).contains(&month)
            && (1..=days_in(year, month)).contains(&day)
            && hour < 24
            && minute < 60
            && second < 60;
        let quarters = two_digits(zone & !BEHIND);
        if !sane || quarters > 56 {
            return None;
        }
        let ahead = if zone & BEHIND == 0 {
            quarters
        } else {
            -quarters
        } * 900;
        let clock = hour * 3_600 + minute * 60 + second;
        Some(days_since_1970(year, month, day) * 86_400 + clock - ahead)
    }

    /// What is written there, for people, where the calendar does not have it; none where nothing
    /// is.
    pub fn as_written(self) -> Option<String> {
        let [year, month, day, hour, minute, second, _] = self.0;
        self.0.iter().any(|octet| *octet != 0).then(|| {
            format!(
                "{}-{:02}-{:02} {:02}:{:02}:{:02}",
                four_digits(year),
                two_digits(month),
                two_digits(day),
                two_digits(hour),
                two_digits(minute),
                two_digits(second),
            )
        })
    }

    /// Whether all of its digits are digits.
    pub fn is_of_digits(self) -> bool {
        self.0
            .iter()
            .all(|octet| octet & 0x0f < 10 && octet >> 4 < 10)
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

/// The bit of the time zone that says that it is behind UTC.
const BEHIND: u8 = 0x08;

fn two_digits(octet: u8) -> i64 {
    let digit = |four_bits: u8| i64::from(if four_bits < 10 { four_bits } else { 0 });
    digit(octet & 0x0f) * 10 + digit(octet >> 4)
}

fn four_digits(octet: u8) -> i64 {
    match two_digits(octet) {
        year @ ..70 => 2000 + year,
        year => 1900 + year,
    }
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
    fn a_day_that_the_calendar_does_not_have_is_none() {
        for octets in [
            [0; 7],
            [0xff; 7],
            [0x11, 0x20, 0x03, 0, 0, 0, 0],
            [0x11, 0x10, 0x10, 0x42, 0, 0, 0],
            [0x11, 0x10, 0x10, 0, 0, 0, 0x97],
        ] {
            assert_eq!(Timestamp(octets).unix_seconds(), None, "{octets:x?}");
        }
        assert_eq!(Timestamp::at(-1).unix_seconds(), Some(0));
        let impossible = Timestamp([0x21, 0x31, 0x54, 0x52, 0x16, 0x95, 0]);
        assert_eq!(
            impossible.as_written().as_deref(),
            Some("2012-13-45 25:61:59")
        );
        assert_eq!(Timestamp([0; 7]).as_written(), None);
    }

    #[test]
    fn a_digit_that_is_not_one_counts_as_zero() {
        // 2011-12-31 11:32:19, ten quarters of an hour ahead: their second digit is 14.
        let time = Timestamp([0x11, 0x21, 0x13, 0x11, 0x23, 0x91, 0xe1]);
        assert_eq!(time.unix_seconds(), Some(1_325_322_139));
        let zero = Timestamp([0x11, 0x21, 0x13, 0x11, 0x23, 0x91, 0x01]);
        assert_eq!(zero.unix_seconds(), time.unix_seconds());
        assert!(zero.is_of_digits() && !time.is_of_digits());
        // In each place: the tens of all are 0 here, and behind UTC is behind UTC.
        let zeros = Timestamp([0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x18]);
        let bad = Timestamp([0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f, 0x18]);
        assert_eq!(bad.unix_seconds(), zeros.unix_seconds());
        assert!(zeros.unix_seconds().is_some());
    }
}

//! The `Date` field: IMF-fixdate (RFC 9110, 5.6.7), 29 bytes, so that it can be written over in place.

/// A second, as the Date field has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpDate {
    unix_secs: u64,
    text: [u8; Self::BYTES],
}

impl HttpDate {
    /// Every date is this long until the year 9999.
    pub const BYTES: usize = 29;
    /// 9999-12-31T23:59:59Z: the last second four digits of year can name; later ones are shown as this one.
    const LAST: u64 = 253_402_300_799;

    /// The date of that second.
    pub fn from_unix_secs(unix_secs: u64) -> Self {
        const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
        const MONTHS: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let shown = unix_secs.min(Self::LAST);
        let (days, second) = (shown / 86_400, shown % 86_400);
        let (year, month, day) = civil(days);
        let mut text = *b"Thu, 01 Jan 1970 00:00:00 GMT";
        text[..3].copy_from_slice(DAYS[(days % 7) as usize].as_bytes());
        decimal(&mut text[5..7], day);
        text[8..11].copy_from_slice(MONTHS[month as usize - 1].as_bytes());
        decimal(&mut text[12..16], year);
        decimal(&mut text[17..19], second / 3600);
        decimal(&mut text[20..22], second / 60 % 60);
        decimal(&mut text[23..25], second % 60);
        Self { unix_secs, text }
    }

    /// The second it is the date of.
    pub fn unix_secs(&self) -> u64 {
        self.unix_secs
    }

    /// The 29 bytes.
    pub fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.text
    }
}

fn decimal(into: &mut [u8], mut value: u64) {
    for place in into.iter_mut().rev() {
        *place = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// Days since 1970-01-01 to year, month and day: years counted from March, so that the leap day comes last
/// (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`).
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(unix_secs: u64) -> String {
        String::from_utf8(HttpDate::from_unix_secs(unix_secs).as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn a_date_reads_as_the_rfc_writes_it() {
        assert_eq!(text(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(text(0), "Thu, 01 Jan 1970 00:00:00 GMT");
    }

    #[test]
    fn leap_days_and_the_end_of_years_fall_where_the_calendar_has_them() {
        assert_eq!(text(951_782_400), "Tue, 29 Feb 2000 00:00:00 GMT");
        assert_eq!(text(1_709_251_199), "Thu, 29 Feb 2024 23:59:59 GMT");
        assert_eq!(text(4_107_542_399), "Sun, 28 Feb 2100 23:59:59 GMT");
        assert_eq!(text(4_107_542_400), "Mon, 01 Mar 2100 00:00:00 GMT");
        assert_eq!(text(u64::MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
    }
}

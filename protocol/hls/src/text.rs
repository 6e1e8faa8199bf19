//! How numbers, moments and quoted texts stand in a playlist.

use media::{MediaSpan, MediaTime, TICKS_PER_SECOND};
use std::fmt::Write;

/// Seconds with five decimals: the fewest from which every 90 kHz tick can be had back by rounding.
pub(crate) fn write_seconds(out: &mut String, span: MediaSpan) {
    const UNIT: u128 = 100_000;
    let rate = u128::from(TICKS_PER_SECOND);
    let scaled = (u128::from(span.ticks()) * UNIT + rate / 2) / rate;
    let _ = write!(out, "{}.{:05}", scaled / UNIT, scaled % UNIT);
}

/// A decimal-floating-point of R 4.2, rounded to a tick; `None` for anything else (signs, exponents, spaces).
pub(crate) fn parse_seconds(text: &str) -> Option<MediaSpan> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if text.len() > 40 || !(digits(whole) && digits(fraction)) || whole.len() + fraction.len() == 0 {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    // Twelve decimals are far below a tick; what follows them cannot change it.
    let kept = &fraction[..fraction.len().min(12)];
    let scale = 10_u128.pow(kept.len() as u32);
    let part: u128 = if kept.is_empty() { 0 } else { kept.parse().ok()? };
    let rate = u128::from(TICKS_PER_SECOND);
    let ticks = u128::from(whole) * rate + (part * rate + scale / 2) / scale;
    u64::try_from(ticks).ok().map(MediaSpan::from_ticks)
}

/// ISO 8601 in UTC with milliseconds (rule M09).
pub(crate) fn write_date_time(out: &mut String, time: MediaTime) {
    let millis = time.unix_millis();
    let (seconds, millis) = (millis / 1000, millis % 1000);
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days as i64);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let _ = write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z");
}

/// Reads `YYYY-MM-DDThh:mm:ss[.fraction](Z|±hh:mm|±hhmm|±hh)`; `None` for any other form or without a zone.
pub(crate) fn parse_date_time(text: &str) -> Option<MediaTime> {
    let number = |from: usize, to: usize| -> Option<u64> {
        let part = text.get(from..to)?;
        part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())?
    };
    let bytes = text.as_bytes();
    let has = |at: usize, wanted: u8| bytes.get(at) == Some(&wanted);
    if !(has(4, b'-') && has(7, b'-') && (has(10, b'T') || has(10, b't')) && has(13, b':') && has(16, b':')) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !((1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second < 61) {
        return None;
    }
    let rest = text.get(19..)?;
    let (fraction, zone) = match rest.strip_prefix('.') {
        Some(rest) => {
            let end = rest.find(|c: char| !c.is_ascii_digit())?;
            (&rest[..end], &rest[end..])
        }
        None => ("0", rest),
    };
    let fraction = parse_seconds(&format!("0.{fraction}"))?;
    let offset_minutes = zone_minutes(zone)?;
    let seconds = days(year as i64, month as i64, day as i64) * 86_400
        + (hour * 3600 + minute * 60 + second) as i64
        - offset_minutes * 60;
    let seconds = u64::try_from(seconds).ok()?;
    Some(MediaTime::from_ticks(seconds.checked_mul(TICKS_PER_SECOND)?) + fraction)
}

fn zone_minutes(zone: &str) -> Option<i64> {
    if matches!(zone, "Z" | "z") {
        return Some(0);
    }
    let sign = match zone.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digits: String = zone[1..].chars().filter(|c| *c != ':').collect();
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) || !matches!(digits.len(), 2 | 4) {
        return None;
    }
    let hours: i64 = digits[..2].parse().ok()?;
    let minutes: i64 = if digits.len() == 4 { digits[2..].parse().ok()? } else { 0 };
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes))
}

/// Days since 1970-01-01 of a proleptic Gregorian date (H. Hinnant, "chrono-compatible low-level date
/// algorithms").
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Writes a quoted-string; what may not stand in one (quotes, line ends) is percent-encoded.
pub(crate) fn write_quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\u{0}'..='\u{1f}' | '\u{7f}' => {
                let _ = write!(out, "%{:02X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Writes a URI on a line of its own; what would end or change the line is percent-encoded.
pub(crate) fn write_uri_line(out: &mut String, uri: &str) {
    for (at, c) in uri.chars().enumerate() {
        match c {
            '\u{0}'..='\u{20}' | '\u{7f}' => {
                let _ = write!(out, "%{:02X}", u32::from(c));
            }
            '#' if at == 0 => out.push_str("%23"),
            c => out.push(c),
        }
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tick_survives_being_written_and_read() {
        for ticks in (0..400_000).chain([u64::MAX / 200_000, 90_000 * 86_400 * 366 + 1]) {
            let mut text = String::new();
            write_seconds(&mut text, MediaSpan::from_ticks(ticks));
            assert_eq!(parse_seconds(&text), Some(MediaSpan::from_ticks(ticks)), "{text}");
        }
    }

    #[test]
    fn only_plain_decimals_are_seconds() {
        assert_eq!(parse_seconds("2"), Some(MediaSpan::from_secs(2)));
        assert_eq!(parse_seconds("2."), Some(MediaSpan::from_secs(2)));
        for bad in ["", ".", "-1", "+1", "1e3", "1,5", " 1", "1 ", "NaN", "99999999999999999999"] {
            assert_eq!(parse_seconds(bad), None, "{bad:?} was taken");
        }
    }

    #[test]
    fn a_moment_is_written_in_utc_and_read_in_any_zone() {
        let time = MediaTime::from_unix_millis(1_709_210_096_789); // a leap day
        let mut text = String::new();
        write_date_time(&mut text, time);
        assert_eq!(text, "2024-02-29T12:34:56.789Z");
        for same in
            ["2024-02-29T12:34:56.789Z", "2024-02-29T14:34:56.789+02:00", "2024-02-29T05:34:56.789-0700"]
        {
            assert_eq!(parse_date_time(same), Some(time), "{same}");
        }
        for bad in [
            "2024-02-29T12:34:56.789",
            "2024-02-29 12:34:56Z",
            "2024-13-01T00:00:00Z",
            "1969-01-01T00:00:00Z",
            "é024-02-29T12:34:56Z",
            "",
        ] {
            assert_eq!(parse_date_time(bad), None, "{bad:?} was taken");
        }
    }

    #[test]
    fn every_day_of_four_centuries_comes_back() {
        for day in 0..146_097 {
            let (y, m, d) = civil(day);
            assert_eq!(days(y, m, d), day);
        }
    }

    #[test]
    fn a_text_cannot_end_its_line_or_its_quotes() {
        let mut out = String::new();
        write_quoted(&mut out, "a\"b\nc");
        write_uri_line(&mut out, "#x y\r\nz");
        assert_eq!(out, "\"a%22b%0Ac\"%23x%20y%0D%0Az\n");
    }
}

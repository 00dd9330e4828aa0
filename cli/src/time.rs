//! Times and durations as people write them, in the library's unit: milliseconds since 1970.

use jiff::civil::{Date, DateTime};
use jiff::{SignedDuration, Span, Timestamp};

/// Times are computed without a time zone: jiff's instants end a day before the year 9999 does.
const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

/// A time for people and for JSON, as the library writes it: `2027-01-01T00:00:00.000Z`.
pub(crate) fn time_text(unix_ms: i64) -> String {
    bpos::date_text(unix_ms)
}

/// Now, in milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

/// A time and how far it is from now: `2027-01-01T00:00:00.000Z (in 38 days)`.
pub(crate) fn time_and_distance(unix_ms: i64, now_ms: i64) -> String {
    format!("{} ({})", time_text(unix_ms), distance_text(unix_ms, now_ms))
}

/// When something ends: after a duration from now, at the start of a day in UTC, or at a time with its zone.
pub(crate) fn parse_when(text: &str, now_ms: i64) -> Result<i64, String> {
    let when = if text.starts_with(|first: char| first.is_ascii_digit()) && text.contains('-') {
        parse_time(text)
    } else {
        text.parse().ok().and_then(|duration| after(now_ms, duration))
    };
    when.ok_or_else(|| {
        format!(
            "{text:?} is neither a time nor a duration; use a duration from now (90d, 12h, 1y), a day (2027-01-01: its \
             start in UTC), or a time with its zone (2027-01-01T09:00:00Z, 2027-01-01T09:00:00-05:00)"
        )
    })
}

/// A duration in whole seconds, such as `7d`; `0` needs no unit.
pub(crate) fn parse_duration_s(text: &str, now_ms: i64) -> Result<u64, String> {
    if text == "0" {
        return Ok(0);
    }
    let end = text.parse().ok().and_then(|duration| after(now_ms, duration));
    end.and_then(|end| u64::try_from((end - whole_seconds(now_ms)) / 1_000).ok())
        .ok_or_else(|| format!("{text:?} is not a duration; use a number with a unit, such as 7d, 12h or 90m, or 0"))
}

/// How far a time is from now, roughly: "in 89 days", "3 hours ago".
fn distance_text(unix_ms: i64, now_ms: i64) -> String {
    let seconds = (unix_ms - now_ms).unsigned_abs() / 1_000;
    let (count, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7_200 => (seconds / 60, "minute"),
        7_200..172_800 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    if unix_ms > now_ms { format!("in {count} {unit}{plural}") } else { format!("{count} {unit}{plural} ago") }
}

/// The end of a duration that starts now, at a whole second. Months and years are those of the calendar, in UTC.
fn after(now_ms: i64, duration: Span) -> Option<i64> {
    if duration.is_negative() {
        return None; // a slip: to set an end in the past, people write it as a time
    }
    let now = EPOCH.checked_add(SignedDuration::from_millis(whole_seconds(now_ms))).ok()?;
    now.checked_add(duration).ok().and_then(unix_ms).map(whole_seconds)
}

fn parse_time(text: &str) -> Option<i64> {
    if text.len() == "2027-01-01".len() {
        return text.parse::<Date>().ok().and_then(|day| unix_ms(day.at(0, 0, 0, 0)));
    }
    match text.strip_suffix(['Z', 'z']) {
        // The civil time refuses a second Z, but not an offset or a zone's name beside it.
        Some(civil) if civil.contains(['T', 't', ' ']) && !civil.contains(['+', '[']) => {
            civil.parse().ok().and_then(unix_ms)
        }
        _ => text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond),
    }
}

fn unix_ms(utc: DateTime) -> Option<i64> {
    i64::try_from(utc.duration_since(EPOCH).as_millis()).ok()
}

fn whole_seconds(unix_ms: i64) -> i64 {
    unix_ms - unix_ms.rem_euclid(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-24T00:00:00.500Z
    const NOW: i64 = 1_795_478_400_500;
    const DAY: i64 = 86_400_000;

    #[test]
    fn an_end_is_a_duration_a_day_or_a_time() {
        let base = NOW - 500;
        for (text, expected) in [
            ("90d", Some(base + 90 * DAY)),
            ("12h", Some(base + DAY / 2)),
            ("90 days", Some(base + 90 * DAY)),
            ("2w", Some(base + 14 * DAY)),
            ("1y", Some(base + 365 * DAY)),
            ("1mo", Some(base + 30 * DAY)),
            ("1d 12h", Some(base + DAY + DAY / 2)),
            ("P90D", Some(base + 90 * DAY)),
            ("15m", Some(base + 900_000)),
            ("0s", Some(base)),
            ("2026-11-24", Some(base)),
            ("2026-11-25", Some(base + DAY)),
            ("2026-11-24T00:00:01Z", Some(base + 1_000)),
            ("2026-11-24T00:00:01.250Z", Some(base + 1_250)),
            ("2026-11-23T19:00:00-05:00", Some(base)),
            ("2026-11-24T02:00:00+02:00", Some(base)),
            ("9999-12-31T23:59:59Z", Some(253_402_300_799_000)),
            ("9999-12-31", Some(253_402_214_400_000)),
            ("0000-01-01", Some(-62_167_219_200_000)),
            // A time without a zone, dates that do not exist, durations without a unit or negative.
            ("2026-11-24T00:00:01", None),
            ("2026-11-24 00:00:01", None),
            ("2026-02-30", None),
            ("2026-13-01", None),
            ("2026-11-24T25:00:00Z", None),
            ("2026-11-24Z", None),
            ("2026-11-24T00:00:01ZZ", None),
            ("2026-11-24T00:00:01+02:00Z", None),
            ("90", None),
            ("-1d", None),
            ("1d ago", None),
            ("99999999y", None),
            ("9000y", None),
            ("soon", None),
            ("never", None),
            ("", None),
        ] {
            assert_eq!(parse_when(text, NOW).ok(), expected, "{text:?}");
        }
    }

    #[test]
    fn a_duration_has_whole_seconds() {
        for (text, expected) in [
            ("0", Some(0)),
            ("7d", Some(7 * 86_400)),
            ("90m", Some(5_400)),
            ("0s", Some(0)),
            ("7", None),
            ("-1d", None),
        ] {
            assert_eq!(parse_duration_s(text, NOW).ok(), expected, "{text:?}");
        }
    }

    #[test]
    fn a_time_is_written_as_it_is_read() {
        for text in ["2027-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z", "1969-12-31T23:59:59.000Z"] {
            assert_eq!(time_text(parse_when(text, NOW).unwrap()), text);
        }
    }

    #[test]
    fn distances_are_rough() {
        for (ms, expected) in [
            (0, "0 seconds ago"),
            (1_000, "in 1 second"),
            (-59_000, "59 seconds ago"),
            (3_600_000, "in 60 minutes"),
            (-3 * 3_600_000, "3 hours ago"),
            (90 * DAY, "in 90 days"),
        ] {
            assert_eq!(distance_text(NOW + ms, NOW), expected);
        }
    }
}

//! Quotas: how much a key may use in a calendar day or month, or ever.

pub(crate) mod spent;
pub(crate) mod status;

use std::fmt;

use chrono::{DateTime, Datelike, Days, FixedOffset, Months, NaiveDate, NaiveTime, Utc};
use serde::{Deserialize, Serialize};

use crate::base::invalid_field::InvalidField;
use crate::base::time::from_ms;

/// The most uses that a quota may name: 10^12.
pub(crate) const MAX_QUOTA: u64 = 1_000_000_000_000;
/// The most that one request may cost.
pub(crate) const MAX_COST: u32 = 1_000_000;
/// The widest offset from UTC, in minutes: 14 hours.
const MAX_OFFSET: i32 = 14 * 60;
const ALLOWED_COUNT: &str = "1 to 1,000,000,000,000 uses";
const ALLOWED_OFFSET: &str = "whole minutes from -14:00 to +14:00";
/// What the stored code of a period has besides it, if the quota is strict.
const STRICT: u8 = 8;
/// How many blocks a quota has that is used by blocks.
const BLOCKS: u64 = 100;
const DAY_MS: i64 = 86_400_000;
/// Bits of the number of a period below what says whether it is of days, of months, or of all of the time.
const NUMBER_BITS: u32 = 22;

/// A quota: how many uses a key has in each calendar day or month, or ever. A request uses one, or what its handler
/// [costs](crate::Attempt::cost).
///
/// ```
/// use apikey::{AuthError, KeyStore, NewKey, Quota};
///
/// let store = KeyStore::temporary()?;
/// let created = store.create(NewKey::for_owner("alice").quota(Quota::per_day(2)))?;
/// let secret = created.key.expose_secret();
/// assert!(store.verify(secret).is_ok() && store.verify(secret).is_ok());
/// assert_eq!(store.verify(secret).unwrap_err().code(), "quota_exceeded");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "QuotaLine", try_from = "QuotaLine")]
#[must_use = "a quota does nothing until a key has it"]
pub struct Quota {
    count: u64,
    period: QuotaPeriod,
    offset: FixedOffset,
    is_strict: bool,
}

/// The period of a quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum QuotaPeriod {
    /// A calendar day: uses are there again at midnight.
    Day,
    /// A calendar month: uses are there again at midnight of its first day.
    Month,
    /// All of the time: no use comes back.
    Total,
}

/// A quota as JSON has it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct QuotaLine {
    count: u64,
    per: QuotaPeriod,
    #[serde(default, skip_serializing_if = "is_zero")]
    offset_minutes: i32,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    strict: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(offset: &i32) -> bool {
    *offset == 0
}

/// A quota as a record holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredQuota {
    pub(crate) count: u64,
    /// 1 for a day, 2 for a month, 3 for all of the time; and 8 more if it is strict.
    pub(crate) period: u8,
    pub(crate) offset_minutes: i32,
}

impl StoredQuota {
    /// A quota that lets no request through.
    pub(crate) const NOTHING: Self = Self { count: 0, period: 3, offset_minutes: 0 };
}

impl Quota {
    /// Creates a quota for each calendar day in UTC. Allowed are 1 to 1,000,000,000,000 uses.
    pub fn per_day(count: u64) -> Self {
        Self::new(count, QuotaPeriod::Day)
    }

    /// Creates a quota for each calendar month in UTC.
    pub fn per_month(count: u64) -> Self {
        Self::new(count, QuotaPeriod::Month)
    }

    /// Creates a quota for all of the time. [`KeyStore::add_uses`](crate::KeyStore::add_uses) adds to it.
    pub fn total(count: u64) -> Self {
        Self::new(count, QuotaPeriod::Total)
    }

    fn new(count: u64, period: QuotaPeriod) -> Self {
        Self { count, period, offset: utc(), is_strict: false }
    }

    /// Sets the offset from UTC by which days and months begin: whole minutes from -14:00 to +14:00.
    pub fn offset(mut self, offset: FixedOffset) -> Self {
        self.offset = offset;
        self
    }

    /// Makes the quota strict: a crash gives nothing back, so no period has more uses than the quota.
    ///
    /// The store reserves uses on the disk before it lets requests have them, a hundredth of the quota ahead, and the next ones
    /// in the background while requests use these. A request that finds none reserved does not wait: it is refused with 429
    /// `quota_exceeded` and `Retry-After: 1`. A crash loses what was reserved and not used: at most a hundredth of the quota, or
    /// one use of a quota below 100.
    ///
    /// ```
    /// use apikey::{KeyStore, NewKey, Quota};
    ///
    /// let store = KeyStore::temporary()?;
    /// let created = store.create(NewKey::for_owner("alice").quota(Quota::total(1_000).strict()))?;
    /// assert!(store.verify(created.key.expose_secret()).is_ok());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn strict(mut self) -> Self {
        self.is_strict = true;
        self
    }

    /// Returns the number of uses.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Returns the period.
    #[must_use]
    pub fn period(&self) -> QuotaPeriod {
        self.period
    }

    /// Returns the offset from UTC by which days and months begin.
    #[must_use]
    pub fn utc_offset(&self) -> FixedOffset {
        self.offset
    }

    /// Returns whether it is [strict](Self::strict).
    #[must_use]
    pub fn is_strict(&self) -> bool {
        self.is_strict
    }

    /// The same with another number of uses.
    pub(crate) fn with_count(self, count: u64) -> Self {
        Self { count, ..self }
    }

    /// The uses that are reserved at once: a hundredth of the quota.
    pub(crate) fn block(self) -> u64 {
        (self.count / BLOCKS).max(1)
    }

    /// Checks the bounds.
    pub(crate) fn check(self) -> Result<Self, InvalidField> {
        if !(1..=MAX_QUOTA).contains(&self.count) {
            return Err(InvalidField::new("quota.count", &self.count.to_string(), ALLOWED_COUNT));
        }
        let seconds = self.offset.local_minus_utc();
        if seconds % 60 != 0 || seconds.abs() > MAX_OFFSET * 60 {
            return Err(InvalidField::new("quota.offset", &self.offset.to_string(), ALLOWED_OFFSET));
        }
        // All of the time begins at no midnight.
        let offset = if self.period == QuotaPeriod::Total { utc() } else { self.offset };
        Ok(Self { offset, ..self })
    }

    pub(crate) fn to_stored(self) -> StoredQuota {
        let period = self.period.code() | if self.is_strict { STRICT } else { 0 };
        StoredQuota { count: self.count, period, offset_minutes: self.offset.local_minus_utc() / 60 }
    }

    /// Reads the quota of a record. One that is out of bounds came from tampered data, and lets no request through.
    pub(crate) fn stored(stored: &StoredQuota) -> Self {
        Self::in_bounds(stored).unwrap_or(Self { count: 0, ..Self::total(0) })
    }

    fn in_bounds(StoredQuota { count, period, offset_minutes }: &StoredQuota) -> Option<Self> {
        let is_strict = period & STRICT != 0;
        let period = match period & !STRICT {
            1 => QuotaPeriod::Day,
            2 => QuotaPeriod::Month,
            3 => QuotaPeriod::Total,
            _ => return None,
        };
        let offset = FixedOffset::east_opt(offset_minutes.checked_mul(60)?)?;
        Self { count: *count, period, offset, is_strict }.check().ok()
    }

    /// Returns a quota that gives no more than either: the smaller count in the longer period. Two days or months that begin
    /// at different times overlap, so of these the smaller count is for all of the time. It is strict if either is.
    pub(crate) fn meet(self, other: Self) -> Self {
        let (count, is_strict) = (self.count.min(other.count), self.is_strict || other.is_strict);
        let longer = if self.period >= other.period { self } else { other };
        match self.period == other.period && self.offset != other.offset {
            true => Self { is_strict, ..Self::total(count) },
            false => Self { count, is_strict, ..longer },
        }
    }

    /// The same, if either quota may be missing.
    pub(crate) fn meet_of(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        match (one, other) {
            (Some(one), Some(other)) => Some(one.meet(other)),
            (one, other) => one.or(other),
        }
    }

    /// Packs the quota into one word, which is never 0.
    pub(crate) fn packed(self) -> u64 {
        let StoredQuota { count, period, offset_minutes } = self.to_stored();
        let offset = u64::try_from(offset_minutes + MAX_OFFSET).unwrap_or(0);
        count << 20 | offset << 4 | u64::from(period)
    }

    /// Reads the quota of a packed word; `None` for 0.
    pub(crate) fn unpacked(word: u64) -> Option<Self> {
        if word == 0 {
            return None;
        }
        let offset = i32::try_from(word >> 4 & 0xffff).unwrap_or(0) - MAX_OFFSET;
        let period = u8::try_from(word & 0xf).unwrap_or(0);
        Some(Self::stored(&StoredQuota { count: word >> 20, period, offset_minutes: offset }))
    }

    /// The number of the period in which this time is. Later periods have higher ones, those of days, of months, and of all of
    /// the time are never the same, and none is 0.
    pub(crate) fn period_at(self, now: i64) -> u32 {
        let number = match self.period {
            QuotaPeriod::Day => {
                let local = now.saturating_add(i64::from(self.offset.local_minus_utc()) * 1000);
                u32::try_from(local.div_euclid(DAY_MS)).unwrap_or(0)
            }
            QuotaPeriod::Month => {
                let local = from_ms(now).with_timezone(&self.offset);
                u32::try_from(local.year() - 1970).unwrap_or(0) * 12 + local.month0()
            }
            QuotaPeriod::Total => 0,
        };
        u32::from(self.period.code()) << NUMBER_BITS | number.min((1 << NUMBER_BITS) - 1)
    }

    /// The number of a period after all others.
    pub(crate) fn last_period(self) -> u32 {
        u32::from(self.period.code()) << NUMBER_BITS | ((1 << NUMBER_BITS) - 1)
    }

    /// The time at which the period with this number ends, in the offset of this quota, whatever its period; `None` if it
    /// never does.
    pub(crate) fn end_of(self, period: u32) -> Option<DateTime<Utc>> {
        let first = NaiveDate::from_ymd_opt(1970, 1, 1)?;
        let number = (period & ((1 << NUMBER_BITS) - 1)) + 1;
        let next = match period >> NUMBER_BITS {
            1 => first.checked_add_days(Days::new(number.into()))?,
            2 => first.checked_add_months(Months::new(number))?,
            _ => return None,
        };
        Some(next.and_time(NaiveTime::MIN).and_local_timezone(self.offset).single()?.to_utc())
    }

    /// What was used in a period, as it counts at a time, and the period in which it does.
    ///
    /// A clock that was set back opens no earlier period again. What was used under a quota of other periods was used in the
    /// present one, if that period lasts, or is part of the present one.
    pub(crate) fn counted(self, last: u32, used: u64, now: i64) -> (u32, u64) {
        let at = self.period_at(now);
        if last >> NUMBER_BITS == at >> NUMBER_BITS {
            return if last < at { (at, 0) } else { (last, used) };
        }
        let counts = last != 0
            && self.end_of(last).map(|end| end.timestamp_millis()).is_none_or(|end| {
                let is_part = self.period_at(end - 1) >= at;
                now < end || is_part
            });
        (at, if counts { used } else { 0 })
    }
}

impl QuotaPeriod {
    fn code(self) -> u8 {
        match self {
            Self::Day => 1,
            Self::Month => 2,
            Self::Total => 3,
        }
    }
}

/// Whether the period of one number is of the same length as that of the other, and later.
pub(crate) fn is_later(period: u32, than: u32) -> bool {
    period >> NUMBER_BITS == than >> NUMBER_BITS && period > than
}

fn utc() -> FixedOffset {
    chrono::Offset::fix(&Utc)
}

impl fmt::Debug for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Quota({self})")
    }
}

/// `10000 a day`, `10000 a month (+01:00)`, `500 in all (strict)`.
impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let period = match self.period {
            QuotaPeriod::Day => "a day",
            QuotaPeriod::Month => "a month",
            QuotaPeriod::Total => "in all",
        };
        write!(f, "{} {period}", self.count)?;
        match (self.offset == utc(), self.is_strict) {
            (true, false) => Ok(()),
            (true, true) => f.write_str(" (strict)"),
            (false, false) => write!(f, " ({})", self.offset),
            (false, true) => write!(f, " ({}, strict)", self.offset),
        }
    }
}

impl From<Quota> for QuotaLine {
    fn from(quota: Quota) -> Self {
        let offset_minutes = quota.offset.local_minus_utc() / 60;
        Self { count: quota.count, per: quota.period, offset_minutes, strict: quota.is_strict }
    }
}

impl TryFrom<QuotaLine> for Quota {
    type Error = InvalidField;

    fn try_from(QuotaLine { count, per, offset_minutes, strict }: QuotaLine) -> Result<Self, InvalidField> {
        let offset = offset_minutes.checked_mul(60).and_then(FixedOffset::east_opt);
        let invalid = || InvalidField::new("quota.offset", &format!("{offset_minutes} minutes"), ALLOWED_OFFSET);
        // The store checks the rest, and names the field.
        Ok(Self { count, period: per, offset: offset.ok_or_else(invalid)?, is_strict: strict })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;
    use proptest::prelude::*;

    fn quotas() -> impl Strategy<Value = Quota> {
        (1..=MAX_QUOTA, 1..=3u8, any::<bool>(), -MAX_OFFSET..=MAX_OFFSET).prop_map(
            |(count, period, strict, offset_minutes)| {
                let period = if strict { period | STRICT } else { period };
                Quota::stored(&StoredQuota { count, period, offset_minutes })
            },
        )
    }

    proptest! {
        #[test]
        fn every_form_is_the_same(quota in quotas()) {
            prop_assert_eq!(Quota::unpacked(quota.packed()), Some(quota));
            prop_assert_eq!(Quota::stored(&quota.to_stored()), quota);
            let json = serde_json::to_string(&quota).unwrap();
            prop_assert_eq!(serde_json::from_str::<Quota>(&json).unwrap(), quota);
        }

        /// A period ends where the next begins, also over leap days.
        #[test]
        fn a_time_is_before_the_end_of_its_period(quota in quotas(), now in 0..4_102_444_800_000i64) {
            let period = quota.period_at(now);
            let Some(end) = quota.end_of(period) else { return Ok(()) };
            let end = end.timestamp_millis();
            prop_assert!(now < end && end - now <= 31 * DAY_MS);
            prop_assert_eq!((quota.period_at(end - 1), quota.period_at(end)), (period, period + 1));
        }

        #[test]
        fn what_two_quotas_share_is_no_more_than_either(one in quotas(), other in quotas()) {
            let met = one.meet(other);
            prop_assert_eq!(met, other.meet(one));
            prop_assert_eq!(one.meet(one), one);
            for wide in [one, other] {
                prop_assert!(met.count <= wide.count && met.period >= wide.period);
                prop_assert!(met.period > wide.period || met.offset == wide.offset);
                prop_assert!(met.is_strict || !wide.is_strict);
            }
        }
    }

    #[test]
    fn months_have_their_days() {
        let at = |year, month, day| Utc.with_ymd_and_hms(year, month, day, 0, 0, 0).unwrap();
        let end = |quota: Quota, now: DateTime<Utc>| quota.end_of(quota.period_at(now.timestamp_millis())).unwrap();
        assert_eq!(end(Quota::per_month(1), at(2028, 2, 29)), at(2028, 3, 1));
        assert_eq!(end(Quota::per_month(1), at(2026, 12, 31)), at(2027, 1, 1));
        assert_eq!(end(Quota::per_day(1), at(2028, 2, 28)), at(2028, 2, 29));
        let berlin = Quota::per_month(1).offset(FixedOffset::east_opt(3600).unwrap());
        assert_eq!(end(berlin, at(2027, 1, 31)), at(2027, 1, 31) + chrono::TimeDelta::hours(23));
    }

    #[test]
    fn texts() {
        let (quota, tokyo) = (Quota::per_day(5), FixedOffset::east_opt(9 * 3600).unwrap());
        let all = [quota, quota.offset(tokyo), quota.strict(), quota.offset(tokyo).strict()];
        let expected = ["5 a day", "5 a day (+09:00)", "5 a day (strict)", "5 a day (+09:00, strict)"];
        assert_eq!(all.map(|quota| quota.to_string()), expected);
        let json = serde_json::to_string(&all[3]).unwrap();
        assert_eq!(json, r#"{"count":5,"per":"day","offset_minutes":540,"strict":true}"#);
    }

    #[test]
    fn out_of_bounds() {
        for count in [0, MAX_QUOTA + 1] {
            assert!(Quota::per_day(count).check().is_err());
            assert_eq!(Quota::stored(&StoredQuota { count, period: 1, offset_minutes: 0 }).count, 0, "nothing passes");
        }
        assert_eq!(Quota::stored(&StoredQuota { count: 1, period: 4, offset_minutes: 0 }).count, 0);
        assert_eq!(Quota::stored(&StoredQuota { count: 1, period: STRICT, offset_minutes: 0 }).count, 0);
        for seconds in [59, 15 * 3600, -15 * 3600] {
            assert!(Quota::total(1).offset(FixedOffset::east_opt(seconds).unwrap()).check().is_err());
        }
    }
}

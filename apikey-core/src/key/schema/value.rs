//! Schemas of the values in keys: ids, states, limits, overlaps and policies.

use std::borrow::Cow;

use utoipa::openapi::schema::{OneOfBuilder, Schema};
use utoipa::openapi::{RefOr, SchemaFormat};
use utoipa::{PartialSchema, ToSchema};

use crate::access::limit::{Limit, MAX_COUNT, MAX_PER_MS};
use crate::access::quota::{MAX_QUOTA, Quota};
use crate::key::key_info::{EndedSecret, KeyState, Revoked};
use crate::key::rotation::overlap::{Overlap, OverlapEnd};
use crate::key::rotation::policy::{LEAST_EVERY, Rotation, RotationPolicy};
use crate::key::schema::object::{closed, constant, milliseconds, number, or_null, text, time, whole};
use crate::token::key_id::KeyId;

impl PartialSchema for KeyId {
    fn schema() -> RefOr<Schema> {
        text("The id of a key: a UUID, which is public.").format(Some(SchemaFormat::Custom("uuid".into()))).into()
    }
}

impl ToSchema for KeyId {}

impl PartialSchema for KeyState {
    fn schema() -> RefOr<Schema> {
        text("The state of a key. If several apply, it is the first.")
            .enum_values(Some(Self::ALL.map(Self::name)))
            .into()
    }
}

impl ToSchema for KeyState {}

impl PartialSchema for EndedSecret {
    fn schema() -> RefOr<Schema> {
        whole(
            "The newest secret that has ended by a rotation, and is still known.",
            [
                ("version", number("The number of the secret.", 1).into()),
                ("ended_at", time("When it ended.").into()),
                ("until", time("Until when the store tells its holder from a stranger.").into()),
            ],
        )
        .into()
    }
}

impl ToSchema for EndedSecret {}

impl PartialSchema for Revoked {
    fn schema() -> RefOr<Schema> {
        whole(
            "The revocation of a key.",
            [
                ("at", time("The time of the revocation.").into()),
                ("reason", text("The reason that the first call gave.").into()),
            ],
        )
        .into()
    }
}

/// `KeyRevocation`
impl ToSchema for Revoked {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("KeyRevocation")
    }
}

impl PartialSchema for Limit {
    fn schema() -> RefOr<Schema> {
        let count = number("Requests at once, and as many more in each period.", 1).maximum(Some(MAX_COUNT));
        let per = milliseconds("The period, in milliseconds.", 1).maximum(isize::try_from(MAX_PER_MS).ok());
        closed("A rate limit.", [("count", count.into()), ("per_ms", per.into())])
            .required("count")
            .required("per_ms")
            .into()
    }
}

/// `KeyLimit`
impl ToSchema for Limit {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("KeyLimit")
    }
}

impl PartialSchema for Quota {
    fn schema() -> RefOr<Schema> {
        let count = number("Uses in each period.", 1).maximum(isize::try_from(MAX_QUOTA).ok());
        let per = OneOfBuilder::new()
            .description(Some("The period."))
            .item(constant("day").description(Some("A calendar day.")))
            .item(constant("month").description(Some("A calendar month.")))
            .item(constant("total").description(Some("All of the time: no use comes back.")));
        let offset = number("The offset from UTC by which days and months begin, in minutes; 0 if it is missing.", 0)
            .minimum(Some(-840))
            .maximum(Some(840));
        closed("A quota.", [("count", count.into()), ("per", per.into()), ("offset_minutes", offset.into())])
            .required("count")
            .required("per")
            .into()
    }
}

/// `KeyQuota`
impl ToSchema for Quota {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("KeyQuota")
    }
}

impl PartialSchema for Overlap {
    fn schema() -> RefOr<Schema> {
        let span = milliseconds("The old secret stays valid for this time, in milliseconds.", 1);
        OneOfBuilder::new()
            .description(Some("How long the old secret stays valid when a key is rotated."))
            .item(constant("none").description(Some("The old secret ends at once.")))
            .item(constant("first_use").description(Some("The old secret ends at the first use of the new one.")))
            .item(closed("A time.", [("ms", span.into())]).required("ms"))
            .into()
    }
}

/// `KeyOverlap`
impl ToSchema for Overlap {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("KeyOverlap")
    }
}

impl PartialSchema for OverlapEnd {
    fn schema() -> RefOr<Schema> {
        OneOfBuilder::new()
            .description(Some("When the older secret ends, while two secrets are valid."))
            .item(constant("first_use").description(Some("At the first use of the new secret.")))
            .item(whole("At a time.", [("at", time("The time.").into())]))
            .into()
    }
}

/// `KeyOverlapEnd`
impl ToSchema for OverlapEnd {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("KeyOverlapEnd")
    }
}

const OVERLAP: &str =
    "How long the old secret stays valid after a rotation, in milliseconds; `null` until the first use of the new one.";

fn every(description: &str) -> RefOr<Schema> {
    let min = u32::try_from(LEAST_EVERY.num_milliseconds()).unwrap_or_default();
    milliseconds(description, min).into()
}

impl PartialSchema for RotationPolicy {
    fn schema() -> RefOr<Schema> {
        let overlap =
            format!("{OVERLAP} It is shorter than `every_ms`; if it is missing, 24 hours or half of `every_ms`.");
        closed(
            "When a key gets a new secret.",
            [
                ("every_ms", every("The time from one secret to the next, in milliseconds.")),
                ("overlap_ms", or_null(milliseconds(&overlap, 1))),
            ],
        )
        .required("every_ms")
        .into()
    }
}

impl ToSchema for RotationPolicy {}

impl PartialSchema for Rotation {
    fn schema() -> RefOr<Schema> {
        whole(
            "The automatic rotation of a key.",
            [
                ("every_ms", every("The time from one secret to the next, in milliseconds.")),
                ("overlap_ms", or_null(milliseconds(OVERLAP, 1))),
                ("due", time("When the key is due for its next secret.").into()),
                ("pending", or_null(number("The number of a new secret that waits for its delivery.", 1))),
            ],
        )
        .into()
    }
}

/// `KeyRotation`
impl ToSchema for Rotation {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("KeyRotation")
    }
}

//! What a request carries: parameters, header fields, a body.

/// A parameter of the query string, or a header field.
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) required: bool,
    pub(super) description: &'static str,
}

/// What a parameter may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    /// From 1 to 128 printable characters.
    ShortText,
    /// Entity tags, or `*`.
    Tags,
    KeyId,
    Time,
    /// A whole number from 1 to 1000.
    Limit,
    Number,
    Cursor,
    /// One of these.
    OneOf(&'static [&'static str]),
    /// Without a value, or `true`.
    Flag,
    /// Any number of parameters `metadata.NAME=VALUE`.
    Metadata,
}

/// What a request carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    None,
    Json(&'static str),
    /// The same, or nothing.
    MaybeJson(&'static str),
    MergePatch(&'static str),
    Form(&'static str),
}

impl Body {
    /// The media type, and the name of the schema.
    pub(super) fn content(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::None => None,
            Self::Json(schema) | Self::MaybeJson(schema) => Some(("application/json", schema)),
            Self::MergePatch(schema) => Some(("application/merge-patch+json", schema)),
            Self::Form(schema) => Some(("application/x-www-form-urlencoded", schema)),
        }
    }
}

//! Calls on behalf of a caller: what it may read, and which keys it may revoke together.

mod read;
mod revoke_keys;

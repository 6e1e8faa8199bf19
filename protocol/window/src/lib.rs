//! See `Cargo.toml` for what this room is.

//! Looks at the house from outside. Everything here is a test (`cargo test -p tidy`): what a reader may rely on
//! is checked, not asked for.
//!
//! Lives here: floors (`tests/floors.rs`), words (`tests/words.rs`), the bounds' page (`tests/limits.rs`), and who
//! links FFmpeg (`tests/ffmpeg.rs`). Does not live here: anything a program needs.

//! Where settings are written: a file, the environment, flags.
//!
//! Does not live here: what they mean (`load`).

use std::path::Path;

use super::mistake::{Mistake, Place, SettingsError};

/// Most bytes a settings file may have; what is larger is some other file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Where settings are written, weakest first: file, environment, flags.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Name and text.
    pub(super) file: Option<(String, String)>,
    /// Name and value, sorted by name.
    pub(super) environment: Vec<(String, String)>,
    /// Flag, key and value.
    pub(super) flags: Vec<(String, String, String)>,
}

impl Sources {
    /// Nothing written anywhere: every default.
    pub fn new() -> Self {
        Self::default()
    }

    /// A file; read now.
    pub fn file(self, path: &Path) -> Result<Self, SettingsError> {
        let name = path.display().to_string();
        let refuse = |problem: String| SettingsError {
            mistakes: vec![Mistake {
                place: Place::File { path: name.clone(), line: 1, column: 1 },
                problem,
                allowed: None,
                meant: None,
                source: None,
            }],
        };
        let length = std::fs::metadata(path).map_err(|error| refuse(error.to_string()))?.len();
        if length > FILE_BYTES_MAX {
            return Err(refuse(format!("{length} bytes; at most {FILE_BYTES_MAX} are read")));
        }
        let bytes = std::fs::read(path).map_err(|error| refuse(error.to_string()))?;
        let text = String::from_utf8(bytes)
            .map_err(|error| refuse(format!("not UTF-8 (byte {})", error.utf8_error().valid_up_to())))?;
        Ok(self.text(&name, &text))
    }

    /// A file that is in memory already.
    pub fn text(mut self, name: &str, text: &str) -> Self {
        self.file = Some((name.to_owned(), text.to_owned()));
        self
    }

    /// This process' environment.
    pub fn process_environment(self) -> Self {
        let all = std::env::vars_os();
        let ours =
            all.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        self.environment(ours)
    }

    /// These variables; others than `MASCARET_…` are left out.
    pub fn environment(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        self.environment.extend(variables.into_iter().filter(|(name, _)| name.starts_with("MASCARET_")));
        self.environment.sort();
        self
    }

    /// What the flag `name` (`--listen`) says about `key` (`http.listen`).
    pub fn flag(mut self, name: &str, key: &str, value: &str) -> Self {
        self.flags.push((name.to_owned(), key.to_owned(), value.to_owned()));
        self
    }
}

//! The key that tickets of private broadcasts are sealed with: the balancers', read again when it changes.
//!
//! Edges open tickets of the key before this one too, so one that is sealed a moment after a rotation is good.

use node::settings::SecretFile;
use std::sync::{Mutex, MutexGuard, PoisonError};
use ticket::{Key, Keys};

/// See the module.
#[derive(Debug)]
pub(crate) struct TicketKeys {
    file: Option<SecretFile>,
    sealing: Mutex<Option<Key>>,
}

impl TicketKeys {
    /// What the file says; no key where none is named.
    pub(crate) fn read(file: Option<SecretFile>) -> Result<Self, String> {
        let keys = Self { file, sealing: Mutex::new(None) };
        keys.read_again()?;
        Ok(keys)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Key>> {
        // One assignment: it is whole.
        self.sealing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the file again; true if there is another key in it. One that is no good changes nothing.
    pub(crate) fn read_again(&self) -> Result<bool, String> {
        let Some(file) = &self.file else { return Ok(false) };
        let text = file.read().map_err(|error| error.to_string())?;
        let key = Key::parse(text.reveal()).map_err(|error| error.to_string())?;
        let mut sealing = self.lock();
        let is_another = sealing.as_ref() != Some(&key);
        *sealing = Some(key);
        Ok(is_another)
    }

    /// What to seal with now.
    pub(crate) fn sealing(&self) -> Option<Keys> {
        self.lock().clone().map(|key| Keys::new(key, None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_key_in_the_file_is_taken_and_rubbish_is_not() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let write = |text: &str| std::fs::write(file.path(), text).unwrap();
        write(&"0123".repeat(16));
        let keys = TicketKeys::read(Some(SecretFile(file.path().to_owned()))).unwrap();
        let first = keys.sealing().unwrap().current().clone();
        assert_eq!(keys.read_again(), Ok(false));
        write("rubbish");
        assert!(keys.read_again().is_err());
        assert_eq!(keys.sealing().unwrap().current(), &first);
        write(&"4567".repeat(16));
        assert_eq!(keys.read_again(), Ok(true));
        assert_ne!(keys.sealing().unwrap().current(), &first);
        assert!(TicketKeys::read(None).unwrap().sealing().is_none());
    }
}

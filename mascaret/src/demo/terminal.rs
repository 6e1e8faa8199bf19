//! Keys without Enter, and a terminal that is as it was afterwards, however we end.

use crate::sys::TerminalSettings;
use std::io::{IsTerminal, Read};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, PoisonError};

/// What the terminal was before; also for the panic hook, which has nothing but statics.
static BEFORE: Mutex<Option<TerminalSettings>> = Mutex::new(None);

/// Single keys from the terminal; dropped, the terminal is as it was.
#[derive(Debug)]
pub(crate) struct Keys {
    keys: Receiver<u8>,
}

impl Keys {
    /// `None` where nobody sits at a terminal.
    pub(crate) fn listen() -> Option<Self> {
        if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
            return None;
        }
        let settings = TerminalSettings::now()?;
        *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(settings);
        settings.with_single_keys().set();
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            usual(panic);
        }));
        let (sender, keys) = channel();
        // Ends with the process: a read of a terminal cannot be taken back.
        let reading = std::thread::Builder::new().name("keys".into()).spawn(move || {
            let mut key = [0];
            while matches!(std::io::stdin().read(&mut key), Ok(1)) && sender.send(key[0]).is_ok() {}
        });
        reading.ok().map(|_| Self { keys })
    }

    /// A key, if one was pressed.
    pub(crate) fn pressed(&self) -> Option<char> {
        self.keys.try_recv().ok().map(|key| char::from(key).to_ascii_lowercase())
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        restore();
    }
}

fn restore() {
    if let Some(before) = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take() {
        before.set();
    }
}

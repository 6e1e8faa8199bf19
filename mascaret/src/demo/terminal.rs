//! Keys without Enter, and a terminal that is as it was afterwards, however we end.

use std::io::{IsTerminal, Read};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, PoisonError};

/// What the terminal was before; also for the panic hook, which has nothing but statics.
static BEFORE: Mutex<Option<libc::termios>> = Mutex::new(None);

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
        // SAFETY: an all-zero termios is a valid place for tcgetattr to write to, which it does whole or not.
        let mut settings: libc::termios = unsafe { std::mem::zeroed() };
        // SAFETY: descriptor 0 is open, and `settings` lives over the call.
        if unsafe { libc::tcgetattr(0, &mut settings) } != 0 {
            return None;
        }
        *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(settings);
        // Ctrl-C stays a signal (ISIG), so that a stuck demo can always be ended.
        settings.c_lflag &= !(libc::ICANON | libc::ECHO);
        set(&settings);
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

fn set(settings: &libc::termios) {
    // SAFETY: descriptor 0 is open, and `settings` came from tcgetattr.
    unsafe { libc::tcsetattr(0, libc::TCSANOW, settings) };
}

fn restore() {
    if let Some(before) = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take() {
        set(&before);
    }
}

//! A mistake in somebody's settings: where, what, what was allowed, and what was probably meant.
//!
//! Lives here: turning serde's and TOML's words into ours, and showing them. Does not live here: finding
//! them (`load`).

use std::fmt;

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a file; line and column count from 1, the column in characters.
    File {
        /// Its name as given.
        path: String,
        /// Which line.
        line: usize,
        /// Which character of it.
        column: usize,
    },
    /// In an environment variable of this name.
    Environment(String),
    /// By this flag.
    Flag(String),
    /// Nowhere in particular.
    Nowhere,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line, column } => write!(f, "{path}:{line}:{column}"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
            Self::Nowhere => f.write_str("settings"),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub struct Mistake {
    /// Where it is written.
    pub place: Place,
    /// What is wrong.
    pub problem: String,
    /// What would have been right.
    pub allowed: Option<String>,
    /// What was probably meant.
    pub meant: Option<String>,
    /// The text it is in, and from where to where, for the caret.
    pub(super) source: Option<(NamedSource<String>, std::ops::Range<usize>)>,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.problem)?;
        if let Some(allowed) = &self.allowed {
            write!(f, "; allowed: {allowed}")?;
        }
        if let Some(meant) = &self.meant {
            write!(f, "; did you mean `{meant}`?")?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistake {}

impl Diagnostic for Mistake {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.meant.as_ref().map(|meant| Box::new(format!("did you mean `{meant}`?")) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|(source, _)| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let (_, span) = self.source.as_ref()?;
        let label = match &self.allowed {
            Some(allowed) => format!("allowed: {allowed}"),
            None => "here".into(),
        };
        Some(Box::new(std::iter::once(LabeledSpan::new(Some(label), span.start, span.len()))))
    }
}

/// Everything that is wrong with the settings of one program, in the order in which it is written.
#[derive(Clone, Debug)]
pub struct SettingsError {
    /// At least one.
    pub mistakes: Vec<Mistake>,
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.mistakes.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            mistake.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for SettingsError {}

impl SettingsError {
    /// For people: each mistake with its line of the file and a caret under it.
    pub fn picture(&self, colour: bool) -> String {
        use miette::{GraphicalReportHandler, GraphicalTheme};
        let theme = if colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let handler = GraphicalReportHandler::new_themed(theme).with_width(100);
        let mut text = String::new();
        for mistake in &self.mistakes {
            // The first line is the one a terminal or an editor can jump by.
            let shown = handler.render_report(&mut text, &Shown(mistake));
            if shown.is_err() {
                text.push_str(&mistake.to_string());
            }
            text.push('\n');
        }
        text
    }
}

/// A mistake whose headline is place and problem only; the rest is in the picture below it.
#[derive(Debug)]
struct Shown<'a>(&'a Mistake);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.place, self.0.problem)?;
        match (&self.0.source, &self.0.allowed) {
            (None, Some(allowed)) => write!(f, "; allowed: {allowed}"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for Shown<'_> {}

impl Diagnostic for Shown<'_> {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.0.help()
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.0.source_code()
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.0.labels()
    }
}

/// What serde's message says, in our words: problem, what is allowed, what was meant.
pub(super) fn reword(message: &str, also_known: &[&str]) -> (String, Option<String>, Option<String>) {
    let message = message.trim();
    if let Some(rest) = message.strip_prefix("unknown field `")
        && let Some((found, rest)) = rest.split_once('`')
    {
        let known = names(rest).into_iter().chain(also_known.iter().copied());
        return choice(format!("unknown key `{found}`"), found, known.collect());
    }
    if let Some(rest) = message.strip_prefix("unknown variant `")
        && let Some((found, rest)) = rest.split_once('`')
    {
        return choice(format!("`{found}` is not one of the choices"), found, names(rest));
    }
    if let Some(rest) = message.strip_prefix("missing field `") {
        return (format!("the key `{}` is missing", rest.trim_end_matches('`')), None, None);
    }
    if let Some((found, expected)) = message.split_once(", expected ") {
        let problem = match found.strip_prefix("invalid type: ") {
            Some(found) => format!("{found} is of the wrong kind"),
            None => match found.strip_prefix("invalid value: ") {
                Some(found) => format!("{found} is not allowed"),
                None => found.to_owned(),
            },
        };
        return (problem, Some(plain(expected)), None);
    }
    let told = |problem: &str, allowed: &str| (problem.to_owned(), Some(allowed.replace('`', "")), None);
    if let Some((problem, allowed)) =
        message.split_once("; allowed is ").or_else(|| message.split_once("; allowed: "))
    {
        // A type that has words of its own (`percore::Driver`) is told like serde's choices, with the nearest.
        if let Some(found) = problem.strip_prefix('"').and_then(|rest| rest.strip_suffix("\" is not allowed"))
        {
            return choice(
                format!("`{found}` is not one of the choices"),
                found,
                allowed.split(", ").collect(),
            );
        }
        return told(problem, allowed);
    }
    if let Some((problem, rest)) = message.split_once("; ")
        && let Some((allowed, _)) = rest.split_once(" are allowed").or_else(|| rest.split_once(" is allowed"))
    {
        return told(problem, allowed);
    }
    if let Some((first, _)) = message.split_once(" are allowed")
        && let Some((problem, allowed)) = first.split_once(": ")
    {
        return told(problem, allowed);
    }
    let allowed = match message {
        "invalid socket address syntax" => {
            Some("a numeric address and a port, such as \"127.0.0.1:8080\" or \"[::1]:8080\"".to_owned())
        }
        "invalid IP address syntax" => Some("a numeric address, such as \"127.0.0.1\" or \"::1\"".to_owned()),
        _ => None,
    };
    (message.replace('\n', "; "), allowed, None)
}

/// The names between backticks.
fn names(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

fn choice(problem: String, found: &str, mut known: Vec<&str>) -> (String, Option<String>, Option<String>) {
    known.sort_unstable();
    known.dedup();
    let meant = nearest(found, known.iter().copied()).map(str::to_owned);
    (problem, Some(known.join(", ")), meant)
}

/// What is near enough to be what was meant: half of it may be wrong, and three letters at most.
pub(super) fn nearest<'a>(found: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let found = found.to_ascii_lowercase().replace('-', "_");
    let limit = (found.chars().count() / 2).clamp(1, 3);
    known
        .map(|name| (strsim::damerau_levenshtein(&found, &name.to_ascii_lowercase()), name))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
        .or(None)
}

/// Rust's names of kinds, in words.
fn plain(expected: &str) -> String {
    match expected {
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number, 0 or more",
        "i64" | "i32" | "isize" => "a whole number",
        "f64" | "f32" => "a number",
        "a boolean" => "true or false",
        "a string" | "string" | "path string" | "a borrowed string" => "text in quotes",
        "a sequence" => "an array: […]",
        "a map" => "a table",
        other => match other.strip_prefix("struct ") {
            Some(_) => "a table",
            None => other,
        },
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serde_speaks_our_words() {
        let (problem, allowed, meant) =
            reword("unknown field `lisen`, expected one of `listen`, `idle`", &["log"]);
        assert_eq!(problem, "unknown key `lisen`");
        assert_eq!(allowed.as_deref(), Some("idle, listen, log"));
        assert_eq!(meant.as_deref(), Some("listen"));

        let (problem, allowed, meant) = reword("invalid type: string \"yes\", expected a boolean", &[]);
        assert_eq!(problem, "string \"yes\" is of the wrong kind");
        assert_eq!(allowed.as_deref(), Some("true or false"));
        assert_eq!(meant, None);
    }

    #[test]
    fn what_a_type_says_of_itself_is_taken_apart() {
        let (problem, allowed, _) =
            reword("the broadcast has ' ' at byte 4; letters, digits and '-' are allowed", &[]);
        assert_eq!(problem, "the broadcast has ' ' at byte 4");
        assert_eq!(allowed.as_deref(), Some("letters, digits and '-'"));
        let (problem, allowed, _) = reword("\"x\" is no URL; allowed is `http://host`", &[]);
        assert_eq!((problem.as_str(), allowed.as_deref()), ("\"x\" is no URL", Some("http://host")));
        let (problem, _, meant) = reword("\"epol\" is not allowed; allowed is auto, io_uring, epoll", &[]);
        assert_eq!((problem.as_str(), meant.as_deref()), ("`epol` is not one of the choices", Some("epoll")));
    }

    #[test]
    fn what_is_far_off_is_not_guessed() {
        assert_eq!(nearest("colour", ["listen", "idle"].into_iter()), None);
        assert_eq!(nearest("lsiten", ["listen", "idle"].into_iter()), Some("listen"));
    }
}

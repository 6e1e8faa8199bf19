//! Reading settings from where they are written, and finding every mistake in one go.
//!
//! The texts of all sources are laid end to end in one numbering of bytes, so that a span says by itself
//! which file, variable or flag it is from. Serde stops at the first mistake: we note it, take the key out,
//! and read again until nothing is refused.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use miette::NamedSource;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue, Deserializer};

use super::mistake::{Mistake, Place, SettingsError, nearest, reword};
use super::shape::Shape;
use super::table::{find, merge, put, take_out};
use crate::NodeSettings;

/// The roles a file for all may have tables for.
pub const ROLES: [&str; 6] = ["edge", "ingest", "lb", "lobby", "source", "loadtest"];

/// The tables that every role has; they are the fields of [`NodeSettings`].
const COMMON: [&str; 3] = ["certificates", "log", "operator"];

/// Most mistakes that are told at once; by then it is another kind of file.
const MISTAKES_MAX: usize = 100;

/// Most bytes a settings file may have; what is larger is some other file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Where settings are written, weakest first: file, environment, flags.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    file: Option<(String, String)>,
    environment: Vec<(String, String)>,
    flags: Vec<(String, String, String)>,
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

/// Where a value that holds was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere: it is the default.
    Default,
    /// There.
    Written(Place),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Written(place) => place.fmt(f),
        }
    }
}

/// Settings that hold, and where each came from.
#[derive(Clone, Debug)]
pub struct Loaded<T> {
    /// The role's own.
    pub settings: T,
    /// What every role has.
    pub node: NodeSettings,
    origins: BTreeMap<String, Origin>,
    text: Text,
    spans: BTreeMap<String, Range<usize>>,
}

/// One row of `mascaret check`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// Which setting (`operator.listen`).
    pub key: String,
    /// What holds, as TOML; `None` where nothing is set.
    pub value: Option<String>,
    /// Where it came from.
    pub origin: Origin,
}

impl<T> Loaded<T> {
    /// Where the value of `key` (`operator.listen`) came from.
    pub fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or(Origin::Default)
    }

    /// For what a role finds wrong with settings that are each allowed but do not go together: the error
    /// that points at where `key` is written.
    pub fn refuse(&self, key: &str, problem: &str, allowed: &str) -> SettingsError {
        let allowed = Some(allowed.to_owned()).filter(|allowed| !allowed.is_empty());
        let mistake = match self.spans.get(key) {
            Some(span) => self.text.mistake(span.clone(), problem.into(), allowed, None),
            None => Mistake {
                place: Place::Nowhere,
                problem: format!("{key} (default): {problem}"),
                allowed,
                meant: None,
                source: None,
            },
        };
        SettingsError { mistakes: vec![mistake] }
    }
}

impl<T: DeserializeOwned + Serialize> Loaded<T> {
    /// Every setting, what it is, and where it came from.
    pub fn effective(&self) -> Vec<Effective> {
        let own = toml::Value::try_from(&self.settings).ok();
        let node = toml::Value::try_from(&self.node).ok();
        let mut rows = Vec::new();
        for (shape, value) in [(Shape::of::<T>(), own), (Shape::of::<NodeSettings>(), node)] {
            for (path, _) in shape.leaves() {
                let value =
                    value.as_ref().and_then(|value| path.iter().try_fold(value, |value, key| value.get(key)));
                let key = path.join(".");
                rows.push(Effective {
                    value: value.map(ToString::to_string),
                    origin: self.origin(&key),
                    key,
                });
            }
        }
        rows
    }
}

/// Whether this text has tables for roles, and which.
pub fn is_for_all(text: &str) -> Vec<&'static str> {
    let (table, _) = DeTable::parse_recoverable(text);
    let is_table = |role: &&str| table.get_ref().get(*role).is_some_and(|value| value.get_ref().is_table());
    ROLES.into_iter().filter(|role| is_table(&role)).collect()
}

/// Reads the settings of `role`, or says everything that is wrong with them.
pub fn load<T: DeserializeOwned>(role: &'static str, sources: &Sources) -> Result<Loaded<T>, SettingsError> {
    let own_shape = Shape::of::<T>();
    let node_shape = Shape::of::<NodeSettings>();
    let (text, overlays, mut mistakes) = lay_out(role, sources, &own_shape, &node_shape);

    let (root, syntax) = DeTable::parse_recoverable(text.file());
    for error in syntax {
        let span = error.span().unwrap_or(0..0);
        let (problem, allowed) = reword_syntax(error.message());
        mistakes.push(text.mistake(span, problem, allowed, None));
    }
    let mut whole = root;
    let (mut own, mut node) = pick(role, &mut whole, &text, &mut mistakes);
    let snippets: Vec<(Vec<&str>, Spanned<DeValue<'_>>)> = overlays
        .iter()
        .filter_map(|overlay| Some((overlay.path.clone(), overlay.value(&text, &mut mistakes)?)))
        .collect();
    for (path, value) in snippets {
        let is_common = path.first().is_some_and(|first| COMMON.contains(first));
        put(if is_common { node.get_mut() } else { own.get_mut() }, &path, value);
    }

    let mut spans = BTreeMap::new();
    for (shape, table) in [(&own_shape, &own), (&node_shape, &node)] {
        for (path, _) in shape.leaves() {
            if let Some(span) = find(table.get_ref(), &path) {
                spans.insert(path.join("."), span);
            }
        }
    }
    let settings = read::<T>(own, &COMMON, &text, &mut mistakes);
    let node = read::<NodeSettings>(node, &[], &text, &mut mistakes);
    match (settings, node) {
        (Some(settings), Some(node)) if mistakes.is_empty() => {
            let origins = spans
                .iter()
                .map(|(key, span)| (key.clone(), Origin::Written(text.place(span.start))))
                .collect();
            Ok(Loaded { settings, node, origins, text, spans })
        }
        _ => Err(SettingsError { mistakes: in_order(mistakes) }),
    }
}

/// As written, once each; what follows from a line that is not TOML is not told again.
fn in_order(mut mistakes: Vec<Mistake>) -> Vec<Mistake> {
    mistakes.sort_by_key(|mistake| match &mistake.place {
        Place::File { line, column, .. } => (0, *line, *column, String::new()),
        Place::Environment(name) => (1, 0, 0, name.clone()),
        Place::Flag(name) => (2, 0, 0, name.clone()),
        Place::Nowhere => (3, 0, 0, String::new()),
    });
    mistakes.dedup_by(|later, earlier| match (&later.place, &earlier.place) {
        (Place::File { line, .. }, Place::File { line: before, .. }) => {
            line == before && (later.problem == earlier.problem || is_syntax(earlier))
        }
        _ => false,
    });
    mistakes
}

fn is_syntax(mistake: &Mistake) -> bool {
    mistake.problem.starts_with("not TOML")
}

fn reword_syntax(message: &str) -> (String, Option<String>) {
    let mut lines = message.lines();
    let problem = lines.next().unwrap_or("cannot be read");
    let (problem, inline) = match problem.split_once(", expected ") {
        Some((problem, expected)) => (problem, Some(expected.to_owned())),
        None => (problem, None),
    };
    let allowed = lines.find_map(|line| line.strip_prefix("expected ").map(str::to_owned)).or(inline);
    (format!("not TOML: {problem}"), allowed)
}

/// All texts, end to end.
#[derive(Clone, Debug, Default)]
struct Text {
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
struct Part {
    start: usize,
    text: String,
    place: Place,
}

impl Text {
    fn add(&mut self, place: Place, text: String) -> usize {
        let start = self.parts.last().map_or(0, |part| part.start + part.text.len() + 1);
        self.parts.push(Part { start, text, place });
        start
    }

    /// The file is the first, so its spans are what TOML says they are.
    fn file(&self) -> &str {
        self.parts.first().map_or("", |part| &part.text)
    }

    fn part(&self, at: usize) -> Option<&Part> {
        self.parts.iter().rev().find(|part| part.start <= at)
    }

    fn place(&self, at: usize) -> Place {
        let Some(part) = self.part(at) else { return Place::Nowhere };
        let Place::File { path, .. } = &part.place else { return part.place.clone() };
        let mut end = (at - part.start).min(part.text.len());
        while !part.text.is_char_boundary(end) {
            end -= 1;
        }
        let before = &part.text[..end];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Place::File {
            path: path.clone(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    fn mistake(
        &self,
        span: Range<usize>,
        problem: String,
        allowed: Option<String>,
        meant: Option<String>,
    ) -> Mistake {
        let source = self.part(span.start).map(|part| {
            let name = match &part.place {
                Place::File { path, .. } => path.clone(),
                other => other.to_string(),
            };
            let end = part.text.len();
            let local = (span.start - part.start).min(end)..span.end.saturating_sub(part.start).min(end);
            (NamedSource::new(name, part.text.clone()), local)
        });
        Mistake { place: self.place(span.start), problem, allowed, meant, source }
    }
}

/// A value from the environment or a flag, waiting to be laid over the file's.
struct Overlay<'a> {
    path: Vec<&'a str>,
    start: usize,
    /// The value's TOML behind as many blanks as bring its spans to where it lies; `None`: it is text.
    padded: Option<String>,
}

impl Overlay<'_> {
    fn value<'t>(&'t self, text: &'t Text, mistakes: &mut Vec<Mistake>) -> Option<Spanned<DeValue<'t>>> {
        let raw = &text.part(self.start)?.text;
        let span = self.start..self.start + raw.len();
        let as_text = || Spanned::new(span.clone(), DeValue::String(DeString::Borrowed(raw)));
        let Some(padded) = &self.padded else { return Some(as_text()) };
        match DeTable::parse(padded) {
            Ok(mut table) => table.get_mut().remove("v").map(|mut value| {
                // An outer span over the whole; inner ones are right by the padding.
                value = Spanned::new(span.clone(), value.into_inner());
                value
            }),
            // `5 s` and `127.0.0.1:80` are no TOML, and need no quotes in a variable.
            Err(_) if !raw.trim_start().starts_with(['[', '{', '"', '\'']) => Some(as_text()),
            Err(error) => {
                let (problem, allowed) = reword_syntax(error.message());
                mistakes.push(text.mistake(span, problem, allowed, None));
                None
            }
        }
    }
}

fn lay_out<'a>(
    role: &str,
    sources: &'a Sources,
    own: &Shape,
    node: &Shape,
) -> (Text, Vec<Overlay<'a>>, Vec<Mistake>) {
    let mut text = Text::default();
    let (name, file) = sources.file.clone().unwrap_or_else(|| ("settings".into(), String::new()));
    text.add(Place::File { path: name, line: 1, column: 1 }, file);
    let (mut overlays, mut mistakes) = (Vec::new(), Vec::new());
    let leaves: Vec<(Vec<&'static str>, bool)> = [own, node]
        .iter()
        .flat_map(|shape| shape.leaves().into_iter().map(|(path, leaf)| (path, *leaf == Shape::Text)))
        .collect();
    let mut lay = |place: Place, path: Vec<&'a str>, is_text: bool, value: &str| {
        let start = text.add(place, value.to_owned());
        // `v=` is two bytes; the file part is at least as long as its own terminator.
        let padded = (!is_text).then(|| format!("{}v={value}", "\n".repeat(start.saturating_sub(2))));
        overlays.push(Overlay { path, start, padded });
    };
    let prefix = format!("MASCARET_{}_", role.to_uppercase());
    let variable = |path: &[&str]| format!("{prefix}{}", path.join("_").to_uppercase());
    for (name, value) in sources.environment.iter().filter(|(name, _)| name.starts_with(&prefix)) {
        match leaves.iter().find(|(path, _)| variable(path) == *name) {
            Some((path, is_text)) => lay(Place::Environment(name.clone()), path.clone(), *is_text, value),
            None => {
                let known: Vec<String> = leaves.iter().map(|(path, _)| variable(path)).collect();
                mistakes.push(Mistake {
                    place: Place::Environment(name.clone()),
                    problem: "no setting of that name".into(),
                    allowed: Some(known.join(", ")),
                    meant: nearest(name, known.iter().map(String::as_str)).map(str::to_owned),
                    source: None,
                });
            }
        }
    }
    for (name, key, value) in &sources.flags {
        let path: Vec<&str> = key.split('.').collect();
        let is_text = leaves.iter().any(|(leaf, is_text)| *is_text && *leaf == path);
        lay(Place::Flag(name.clone()), path, is_text, value);
    }
    (text, overlays, mistakes)
}

type Table<'i> = Spanned<DeTable<'i>>;

/// The role's table and the common one, whether the file is for one program or for all.
fn pick<'i>(
    role: &str,
    whole: &mut Table<'i>,
    text: &Text,
    mistakes: &mut Vec<Mistake>,
) -> (Table<'i>, Table<'i>) {
    let span = whole.span();
    let table = whole.get_mut();
    let is_for_all =
        ROLES.iter().any(|role| table.get(*role).is_some_and(|value| value.get_ref().is_table()));
    let mut node = DeTable::new();
    for common in COMMON {
        if let Some((key, value)) = table.remove_entry(common) {
            node.insert(key, value);
        }
    }
    let mut own = if is_for_all {
        let own = table.remove(role);
        for (key, _) in table.iter() {
            let name = key.get_ref().as_ref();
            if !ROLES.contains(&name) {
                let known: Vec<&str> = ROLES.into_iter().chain(COMMON).collect();
                let meant = nearest(name, known.iter().copied()).map(str::to_owned);
                let problem = format!("unknown table `{name}` in settings for all programs");
                mistakes.push(text.mistake(key.span(), problem, Some(known.join(", ")), meant));
            }
        }
        match own.map(|own| (own.span(), own.into_inner())) {
            Some((span, DeValue::Table(own))) => Spanned::new(span, own),
            Some((span, _)) => {
                mistakes.push(text.mistake(
                    span,
                    format!("`{role}` is not a table"),
                    Some("a table".into()),
                    None,
                ));
                Spanned::new(0..0, DeTable::new())
            }
            None => Spanned::new(0..0, DeTable::new()),
        }
    } else {
        Spanned::new(span.clone(), std::mem::replace(table, DeTable::new()))
    };
    if is_for_all {
        for common in COMMON {
            if let Some((key, value)) = own.get_mut().remove_entry(common) {
                merge(&mut node, key, value);
            }
        }
    }
    (own, Spanned::new(span, node))
}

/// Deserializes, noting each mistake and taking out what it is about, until nothing is refused.
fn read<'i, T: Deserialize<'i>>(
    table: Table<'i>,
    also_known: &[&str],
    text: &Text,
    mistakes: &mut Vec<Mistake>,
) -> Option<T> {
    let mut table = table;
    let mut taken: Vec<Vec<String>> = Vec::new();
    for _ in 0..MISTAKES_MAX {
        let error = match T::deserialize(Deserializer::from(table.clone())) {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        let span = error.span().unwrap_or(0..0);
        let mut path = Vec::new();
        let is_taken = take_out(table.get_mut(), &span, &mut path);
        let is_missing = error.message().starts_with("missing field");
        // A misspelt key was told already; that the right one is missing is the same mistake.
        let is_told = is_missing && taken.iter().any(|before| before.starts_with(&path));
        if !is_told {
            let top = if path.len() <= 1 { also_known } else { &[] };
            let (problem, allowed, meant) = reword(error.message(), top);
            mistakes.push(text.mistake(span, problem, allowed, meant));
        }
        if !is_taken {
            return None;
        }
        taken.push(path);
    }
    None
}

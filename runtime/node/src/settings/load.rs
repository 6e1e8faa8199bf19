//! Reading settings from where they are written, and finding every mistake in one go.
//!
//! Serde stops at the first mistake: we note it, take the key out, and read again until nothing is refused.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue, Deserializer};

use super::mistake::{Mistake, Place, SettingsError, nearest, reword};
use super::shape::Shape;
use super::sources::Sources;
use super::table::{find, merge, put, take_out};
use super::text::Text;
use crate::NodeSettings;

/// The roles a file for all may have tables for.
pub const ROLES: [&str; 6] = ["edge", "ingest", "lb", "lobby", "source", "loadtest"];

/// The tables that every role has; they are the fields of [`NodeSettings`].
const COMMON: [&str; 3] = ["certificates", "log", "operator"];

/// Most mistakes that are told at once; by then it is another kind of file.
const MISTAKES_MAX: usize = 100;

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
    let is_table = |role: &str| table.get_ref().get(role).is_some_and(|value| value.get_ref().is_table());
    ROLES.into_iter().filter(|role| is_table(role)).collect()
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

/// As written. After the first place that is not TOML only such places are told: which table the lines
/// behind it belong to is a guess.
fn in_order(mut mistakes: Vec<Mistake>) -> Vec<Mistake> {
    mistakes.sort_by_key(|mistake| match &mistake.place {
        Place::File { line, column, .. } => (0, *line, *column, String::new()),
        Place::Environment(name) => (1, 0, 0, name.clone()),
        Place::Flag(name) => (2, 0, 0, name.clone()),
        Place::Nowhere => (3, 0, 0, String::new()),
    });
    let is_syntax = |mistake: &Mistake| mistake.problem.starts_with(NOT_TOML);
    let is_in_file = |mistake: &Mistake| matches!(mistake.place, Place::File { .. });
    if let Some(first) = mistakes.iter().position(is_syntax) {
        let behind = mistakes.split_off(first);
        mistakes.extend(behind.into_iter().filter(|mistake| is_syntax(mistake) || !is_in_file(mistake)));
    }
    mistakes
}

const NOT_TOML: &str = "not TOML: ";

fn reword_syntax(message: &str) -> (String, Option<String>) {
    let mut lines = message.lines();
    let problem = lines.next().unwrap_or("cannot be read");
    let (problem, inline) = match problem.split_once(", expected ") {
        Some((problem, expected)) => (problem, Some(expected.to_owned())),
        None => (problem, None),
    };
    let allowed = lines.find_map(|line| line.strip_prefix("expected ").map(str::to_owned)).or(inline);
    (format!("{NOT_TOML}{problem}"), allowed)
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
                let mut known: Vec<&str> = ROLES.into_iter().chain(COMMON).collect();
                known.sort_unstable();
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

#[cfg(test)]
mod tests {
    use super::super::{Address, Millis, Number};
    use super::*;

    #[derive(Debug, Deserialize, Serialize)]
    #[serde(default, deny_unknown_fields)]
    struct Settings {
        name: String,
        http: Http,
        rungs: Vec<Rung>,
        peers: Vec<Address>,
    }

    impl Default for Settings {
        fn default() -> Self {
            Self { name: "edge1".into(), http: Http::default(), rungs: Vec::new(), peers: Vec::new() }
        }
    }

    #[derive(Debug, Deserialize, Serialize)]
    #[serde(default, deny_unknown_fields)]
    struct Http {
        listen: Address,
        idle: Millis<1_000, 60_000>,
    }

    impl Default for Http {
        fn default() -> Self {
            Self { listen: Address::local(8080), idle: Millis::new(30_000) }
        }
    }

    #[derive(Debug, Deserialize, Serialize)]
    #[serde(deny_unknown_fields)]
    struct Rung {
        height: Number<120, 4320>,
        #[serde(default)]
        copy: bool,
    }

    fn refused(text: &str) -> Vec<String> {
        let sources = Sources::new().text("s.toml", text);
        let error = load::<Settings>("edge", &sources).unwrap_err();
        error.mistakes.iter().map(ToString::to_string).collect()
    }

    fn loaded(sources: &Sources) -> Loaded<Settings> {
        load("edge", sources).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn nothing_written_is_every_default() {
        let loaded = loaded(&Sources::new());
        assert_eq!(loaded.settings.name, "edge1");
        assert_eq!(loaded.origin("http.idle"), Origin::Default);
    }

    #[test]
    fn flags_win_over_the_environment_and_that_over_the_file() {
        let file = "name = 'a'\n[http]\nlisten = '127.0.0.1:1'\nidle = 2000\n[log]\nlevel = 'warn'\n";
        let sources = Sources::new()
            .text("s.toml", file)
            .environment([
                ("MASCARET_EDGE_HTTP_LISTEN".into(), "127.0.0.1:2".into()),
                ("MASCARET_EDGE_HTTP_IDLE".into(), "3 s".into()),
                ("MASCARET_EDGE_RUNGS".into(), "[{ height = 360 }]".into()),
                ("MASCARET_EDGE_LOG_FORMAT".into(), "json".into()),
                ("MASCARET_INGEST_WHATEVER".into(), "not ours".into()),
            ])
            .flag("--idle", "http.idle", "4000");
        let loaded = loaded(&sources);
        assert_eq!(loaded.settings.http.idle.value(), 4_000);
        assert_eq!(loaded.settings.http.listen.to_string(), "127.0.0.1:2");
        assert_eq!(loaded.settings.rungs[0].height.value(), 360);
        assert_eq!(loaded.node.log.format, crate::logs::Format::Json);
        assert_eq!(loaded.node.log.level, crate::logs::Level::Warn);
        let origin = |key: &str| loaded.origin(key).to_string();
        assert_eq!(origin("name"), "s.toml:1:8");
        assert_eq!(origin("http.listen"), "environment MASCARET_EDGE_HTTP_LISTEN");
        assert_eq!(origin("http.idle"), "flag --idle");
        assert_eq!(origin("log.level"), "s.toml:6:9");
        assert_eq!(origin("log.format"), "environment MASCARET_EDGE_LOG_FORMAT");
    }

    #[test]
    fn a_file_for_all_has_a_table_per_role_and_common_ones() {
        let file =
            "[log]\nlevel = 'warn'\n[edge]\nname = 'e'\n[edge.log]\nformat = 'json'\n[lb]\nanything = 1\n";
        let loaded = loaded(&Sources::new().text("all.toml", file));
        assert_eq!(loaded.settings.name, "e");
        assert_eq!(loaded.node.log.level, crate::logs::Level::Warn);
        assert_eq!(loaded.node.log.format, crate::logs::Format::Json);
        assert_eq!(is_for_all(file), ["edge", "lb"]);
        assert_eq!(
            refused("[edge]\nname = 'e'\n[ingset]\nname = 'x'\n"),
            [
                "s.toml:3:2: unknown table `ingset` in settings for all programs; allowed: certificates, edge, \
              ingest, lb, loadtest, lobby, log, operator, source; did you mean `ingest`?"
            ]
        );
    }

    #[test]
    fn every_mistake_is_told_with_its_place() {
        let file = "\
nmae = 'x'
rungs = [{ height = 360, cpoy = true }, { height = 20 }]
peers = ['127.0.0.1:1', 'localhost:2']
[http]
idle = '2 h'
listen = 8080
[log]
level = 'verbose'
";
        let told = refused(file);
        let starts = [
            "s.toml:1:1: unknown key `nmae`;",
            "s.toml:2:26: unknown key `cpoy`; allowed: copy, height; did you mean `copy`?",
            "s.toml:2:52: integer `20` is not allowed; allowed: a whole number from 120 to 4320",
            "s.toml:3:25: string \"localhost:2\" is not allowed; allowed: a numeric address and a port",
            "s.toml:5:8: string \"2 h\" is not allowed; allowed: milliseconds from 1000 to 60000",
            "s.toml:6:10: integer `8080` is of the wrong kind; allowed: a numeric address and a port",
            "s.toml:8:9: `verbose` is not one of the choices; allowed: debug, error, info, trace, warn",
        ];
        assert_eq!(told.len(), starts.len(), "{told:#?}");
        for (told, start) in told.iter().zip(starts) {
            assert!(told.starts_with(start), "{told}\ndoes not start with\n{start}");
        }
    }

    #[test]
    fn a_misspelt_key_is_not_also_missing() {
        assert_eq!(
            refused("[[rungs]]\nheigth = 360\n"),
            ["s.toml:2:1: unknown key `heigth`; allowed: copy, height; did you mean `height`?"]
        );
        let told = refused("[[rungs]]\ncopy = true\n");
        assert_eq!(told, ["s.toml:1:1: the key `height` is missing"]);
    }

    #[test]
    fn what_is_not_toml_is_told_with_its_place() {
        let told = refused("nmae = 1\nname = 'a\nhttp = {}\n[[rungs]\nheight = 360\n");
        assert!(told[0].starts_with("s.toml:1:1: unknown key `nmae`"), "{told:#?}");
        assert_eq!(
            told[1..],
            [
                "s.toml:2:10: not TOML: invalid literal string; allowed: `'`",
                "s.toml:4:9: not TOML: unclosed array table; allowed: `]`"
            ]
        );
    }

    #[test]
    fn a_variable_that_means_nothing_is_told() {
        let sources = Sources::new().environment([("MASCARET_EDGE_HTTP_LISEN".into(), "x".into())]);
        let error = load::<Settings>("edge", &sources).unwrap_err();
        assert_eq!(error.mistakes[0].meant.as_deref(), Some("MASCARET_EDGE_HTTP_LISTEN"));
        let sources = Sources::new().environment([("MASCARET_EDGE_HTTP_IDLE".into(), "soon".into())]);
        let error = load::<Settings>("edge", &sources).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("environment MASCARET_EDGE_HTTP_IDLE: string \"soon\" is not allowed"),
            "{error}"
        );
    }

    #[test]
    fn effective_settings_say_what_holds_and_from_where() {
        let loaded = loaded(&Sources::new().text("s.toml", "[http]\nidle = '2 s'"));
        let rows = loaded.effective();
        let row = |key: &str| rows.iter().find(|row| row.key == key).expect("every key has a row");
        assert_eq!(row("http.idle").value.as_deref(), Some("\"2000 ms\""));
        assert_eq!(row("http.idle").origin.to_string(), "s.toml:2:8");
        assert_eq!(row("operator.listen").value.as_deref(), Some("\"127.0.0.1:9090\""));
        assert_eq!(row("operator.listen").origin, Origin::Default);
        assert_eq!(row("certificates.ca").value, None);
    }

    #[test]
    fn what_does_not_go_together_is_pointed_at() {
        let loaded = loaded(&Sources::new().text("s.toml", "name = 'a'\n[http]\nidle = '2 s'"));
        let error = loaded.refuse("http.idle", "shorter than a segment", "at least 4 s");
        assert_eq!(error.to_string(), "s.toml:3:8: shorter than a segment; allowed: at least 4 s");
        assert!(error.picture(false).contains("idle = '2 s'"), "{}", error.picture(false));
    }
}

//! Every command that docs/OPERATING.md names is run by a test, and what tests say they rehearse is on that page.
//!
//! A command of the page is a line of a `sh` block, or a span of code in the text that begins like one (`mascaret …`,
//! `systemctl …`, `curl …`, `kill …`, `POST /…`, or a flag alone: of the command named before it). A test rehearses it by
//! `page::line("…")`, or all the blocks of a chapter by `page::chapter("…")` (`mascaret/tests/stage/page.rs`), and runs what
//! it is given. `cargo test -p tidy --test rehearsed -- --nocapture` prints which test runs what.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Commands of the page that change more than a test may: each with who does run it.
const ELSEWHERE: [(&str, &str); 1] = [("make build", "`make demo` and `make bench` begin with it")];

/// Between a command and a flag of it that the page names alone.
const ELLIPSIS: &str = " … ";

/// What a span of code in the text begins with when it is a command.
const PROGRAMS: [&str; 5] = ["mascaret", "systemctl", "curl", "kill", "POST"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tidy is one level below the root").to_path_buf()
}

/// A command of the page, and the chapter it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Command {
    chapter: String,
    text: String,
    /// Whether it is a line of a block: only those are run by who runs a chapter.
    is_line: bool,
}

impl Command {
    /// Whether running that runs this: a line of a block itself; of what the text names, the same words and perhaps more.
    fn is_run_by(&self, run: &str) -> bool {
        if self.is_line {
            return run == self.text;
        }
        let (mine, theirs) = (self.text.split_whitespace(), run.split_whitespace());
        // A flag alone stands behind its command, and need not stand right behind it.
        match self.text.split_once(ELLIPSIS) {
            None => theirs.take(mine.clone().count()).eq(mine),
            Some((command, flag)) => {
                let command = command.split_whitespace();
                theirs.clone().take(command.clone().count()).eq(command)
                    && theirs.into_iter().any(|word| word == flag)
            }
        }
    }
}

/// Everything on the page that an operator may type.
fn commands(page: &str) -> Vec<Command> {
    let (mut commands, mut chapter, mut block) = (Vec::new(), String::new(), None::<bool>);
    let mut prose = String::new();
    for line in page.lines().chain(["## "]) {
        if let Some(fence) = line.trim_start().strip_prefix("```") {
            block = if block.is_some() { None } else { Some(fence == "sh") };
            continue;
        }
        match block {
            Some(true) => {
                let text = line.split("  #").next().unwrap_or_default().trim();
                if !text.is_empty() && !text.starts_with('#') {
                    // In order with the spans before it.
                    prose.push_str(&format!("\0{text}\0"));
                }
            }
            // Whatever a block says it is: that is a command all the same.
            Some(false) if line.trim().starts_with("mascaret ") => {
                prose.push_str(&format!("`{}`\n", line.trim()))
            }
            Some(false) => {}
            None if line.starts_with("## ") => {
                commands.extend(named(&std::mem::take(&mut prose), &chapter));
                chapter = line.to_owned();
            }
            None => {
                prose.push_str(line);
                prose.push('\n');
            }
        }
    }
    commands
}

/// Commands of a chapter: lines of blocks are between two `\0`, the others in code spans of the text.
fn named(chapter_text: &str, chapter: &str) -> Vec<Command> {
    let mut found: Vec<Command> = Vec::new();
    for (nth, piece) in chapter_text.split('\0').enumerate() {
        let is_line = nth % 2 == 1;
        let spans: Vec<String> = match is_line {
            true => vec![piece.to_owned()],
            false => piece.split('`').skip(1).step_by(2).map(even).collect(),
        };
        for span in spans {
            let mut words = span.split_whitespace();
            let first = words.next().unwrap_or_default();
            let text = match first.strip_prefix("--") {
                Some(flag) if !is_line && !flag.is_empty() => {
                    let before = found.iter().rfind(|command| command.text.starts_with("mascaret "));
                    let command = before.map_or("mascaret", |command| &command.text);
                    format!("{}{ELLIPSIS}{first}", path_of(command))
                }
                // Requests to the lobby are its API's, which has a document of its own.
                _ if first == "POST" && !span.contains("/admin/") => continue,
                _ if is_line || (PROGRAMS.contains(&first) && words.next().is_some()) => span.clone(),
                _ => continue,
            };
            // `mascaret edge …` speaks of them all.
            let text = text.trim_end_matches('…').trim().to_owned();
            found.push(Command { chapter: chapter.to_owned(), text, is_line });
        }
    }
    found
}

fn even(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The program and its subcommand, of whose subcommands a flag alone may be.
fn path_of(command: &str) -> String {
    let command = command.split(ELLIPSIS).next().unwrap_or_default();
    let is_name = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase());
    command.split_whitespace().take(2).take_while(is_name).collect::<Vec<_>>().join(" ")
}

/// A place in a test where the page is read.
#[derive(Clone, Debug)]
struct Rehearsal {
    file: String,
    test: String,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Line(String),
    Chapter(String),
}

/// Every `page::line("…")` and `page::chapter("…")` of a test's source, with the function around it; `beside` are the
/// other files of the same program, which may call that function.
fn rehearsals(file: &str, source: &str, beside: &str) -> Result<Vec<Rehearsal>, String> {
    let program = format!("{source}\n\n{beside}");
    let mut found = Vec::new();
    for (call, what) in [
        ("page::line(", What::Line as fn(String) -> What),
        ("page::chapter(", What::Chapter as fn(String) -> What),
    ] {
        for (at, _) in source.match_indices(call) {
            if source[..at].lines().last().is_some_and(|line| line.trim_start().starts_with("//")) {
                continue;
            }
            let rest = source[at + call.len()..].trim_start();
            let text = rest.strip_prefix('"').and_then(|rest| rest.split('"').next());
            let text = text.ok_or_else(|| format!("{file}: {call}…) without the words themselves"))?;
            let test =
                enclosing(source, at).ok_or_else(|| format!("{file}: {call}{text:?}) is in no function"))?;
            if !is_reached(&program, &test) {
                return Err(format!("{file}: {test} rehearses {text:?}, and no test runs it"));
            }
            found.push(Rehearsal { file: file.to_owned(), test, what: what(text.to_owned()) });
        }
    }
    Ok(found)
}

/// The function that a place of a source is in, by its name.
fn enclosing(source: &str, at: usize) -> Option<String> {
    let begin = source[..at].rfind("fn ").map(|begin| begin + 3)?;
    let name = source[begin..].split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next()?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// Whether a function is a test that is run, or one that such a test calls, here or further on.
fn is_reached(source: &str, function: &str) -> bool {
    let mut waiting = vec![function.to_owned()];
    let mut seen = Vec::new();
    while let Some(name) = waiting.pop() {
        let Some(at) = source.find(&format!("fn {name}(")).or_else(|| source.find(&format!("fn {name}<")))
        else {
            continue;
        };
        // `on_both_drivers! { name, }` makes tests of them.
        let by_macro = source.split("on_both_drivers! {").skip(1).filter_map(|rest| rest.split('}').next());
        if by_macro.into_iter().any(|names| names.split(',').any(|it| it.trim() == name)) {
            return true;
        }
        let head = source[..at].trim_end();
        let attributes = head.rsplit("\n\n").next().unwrap_or_default();
        if attributes.contains("#[test]") && !attributes.contains("#[ignore") {
            return true;
        }
        seen.push(name.clone());
        let call = format!("{name}(");
        let calls = source.match_indices(&call).map(|(call, _)| call).filter(|call| {
            let before = &source[..*call];
            !before.ends_with("fn ") && !before.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        });
        let callers = calls.filter_map(|call| enclosing(source, call));
        let new: Vec<String> = callers.filter(|caller| !seen.contains(caller)).collect();
        waiting.extend(new);
    }
    false
}

/// Sources of all integration tests of the house.
fn tests(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the house").flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if !name.starts_with('.') && !["target", "node_modules", "web", "src", "tidy"].contains(&&*name) {
                tests(&path, found);
            }
        } else if name.ends_with(".rs") && path.components().any(|part| part.as_os_str() == "tests") {
            found.push(path);
        }
    }
}

/// The other files of the program that this one is a module of: a folder with a `main.rs` is one.
fn beside(path: &Path) -> String {
    let folder = path.parent().unwrap_or(path);
    if !folder.join("main.rs").exists() {
        return String::new();
    }
    let files = fs::read_dir(folder).expect("a folder of the house").flatten().map(|entry| entry.path());
    let others = files.filter(|file| file != path && file.extension().is_some_and(|it| it == "rs"));
    others.map(|file| fs::read_to_string(file).expect("a test is text") + "\n\n").collect()
}

/// What is wrong between a page and its rehearsals; and who runs what.
fn faults(
    page: &str,
    rehearsals: &[Rehearsal],
    elsewhere: &[(&str, &str)],
) -> (Vec<String>, BTreeMap<String, String>) {
    let commands = commands(page);
    let (mut faults, mut by) = (Vec::new(), BTreeMap::new());
    for command in &commands {
        let runs = |rehearsal: &&Rehearsal| match &rehearsal.what {
            What::Line(line) => command.is_run_by(line),
            What::Chapter(chapter) => {
                let lines = commands.iter().filter(|it| it.is_line && it.chapter == *chapter);
                lines.into_iter().any(|it| it == command || command.is_run_by(&it.text))
            }
        };
        if let Some((_, who)) = elsewhere.iter().find(|(text, _)| *text == command.text) {
            by.insert(command.text.clone(), (*who).to_owned());
        } else if let Some(rehearsal) = rehearsals.iter().find(runs) {
            by.insert(command.text.clone(), format!("{} {}", rehearsal.file, rehearsal.test));
        } else {
            faults.push(format!("{}: no test rehearses `{}`", command.chapter, command.text));
        }
    }
    for Rehearsal { file, test, what } in rehearsals {
        let is_there = match what {
            What::Line(line) => commands.iter().any(|command| command.text == *line),
            What::Chapter(chapter) => commands.iter().any(|it| it.is_line && it.chapter == *chapter),
        };
        if !is_there {
            faults.push(format!("{file}: {test} rehearses {what:?}, which is not on the page"));
        }
    }
    for (text, who) in
        elsewhere.iter().filter(|(text, _)| commands.iter().all(|command| command.text != *text))
    {
        faults.push(format!("`{text}` ({who}) is not on the page any more"));
    }
    (faults, by)
}

#[test]
fn every_command_of_the_page_is_rehearsed() {
    let page = fs::read_to_string(root().join("docs/OPERATING.md")).expect("docs/OPERATING.md is there");
    let mut files = Vec::new();
    tests(&root(), &mut files);
    let read = |path: &PathBuf| {
        let source = fs::read_to_string(path).expect("a test is text");
        let name = path.strip_prefix(root()).unwrap_or(path).display().to_string();
        rehearsals(&name, &source, &beside(path)).unwrap_or_else(|fault| panic!("{fault}"))
    };
    let rehearsals: Vec<Rehearsal> = files.iter().flat_map(read).collect();
    let (faults, by) = faults(&page, &rehearsals, &ELSEWHERE);
    for (command, who) in &by {
        println!("{command:<100} {who}");
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(by.len() > 60, "the page was not read: {} commands", by.len());
}

#[test]
fn the_walk_goes_through_its_steps_in_order() {
    let page = fs::read_to_string(root().join("docs/OPERATING.md")).expect("docs/OPERATING.md is there");
    let chapter = page.split_once("## Edges that come and go\n").expect("the chapter is there").1;
    let chapter = chapter.split("\n## ").next().unwrap_or_default();
    let mut last = 0;
    for step in ["Start", "Add", "Drain", "Replace", "Rotate", "Upgrade"] {
        let at = chapter.find(&format!("\n**{step}")).unwrap_or_else(|| panic!("no step {step}"));
        let text = &chapter[at..];
        let block = text.split("```").nth(1).unwrap_or_default();
        assert!(at > last, "{step} is not in its place");
        assert!(
            block.lines().any(|line| line.starts_with('#')),
            "{step}: the page does not show what is seen"
        );
        last = at;
    }
}

const PAGE: &str = "## One\n```sh\nmascaret fly --high  # up\n```\nor `mascaret land` with\n`--soft`\n";

fn of(source: &str) -> Vec<Rehearsal> {
    rehearsals("t.rs", source, "").expect("it is well")
}

#[test]
fn a_command_without_a_rehearsal_would_be_found() {
    let missing = |source: &str| faults(PAGE, &of(source), &[]).0;
    let all =
        "#[test]\nfn a() {\n page::chapter(\"## One\"); page::line(\n\"mascaret land here --soft\");\n}";
    // A line of a block is run as it is, or it is another.
    assert!(
        missing("#[test]\nfn a() { page::line(\"mascaret fly --high up\"); }")[0]
            .contains("`mascaret fly --high`")
    );
    // The page says `mascaret land` and `--soft` apart: a line is a line of the page.
    assert_eq!(
        missing(all),
        ["t.rs: a rehearses Line(\"mascaret land here --soft\"), which is not on the page"]
    );
    assert_eq!(
        missing(""),
        [
            "## One: no test rehearses `mascaret fly --high`",
            "## One: no test rehearses `mascaret land`",
            "## One: no test rehearses `mascaret land … --soft`"
        ]
    );
}

#[test]
fn a_file_beside_may_be_the_one_that_runs_it() {
    let source = "impl Cluster {\n fn start() { page::line(\"mascaret fly\"); }\n}";
    let refused = rehearsals("cluster.rs", source, "#[test]\nfn a() { other(); }");
    assert!(refused.is_err(), "nobody there calls it");
    let found = rehearsals("cluster.rs", source, "#[test]\nfn a() { Cluster::start(); }").expect("one does");
    assert_eq!(found[0].test, "start");
}

#[test]
fn a_rehearsal_that_is_never_run_would_be_found() {
    let refused = |source: &str| rehearsals("t.rs", source, "").expect_err("nobody runs it");
    let line = "page::line(\"mascaret land\");";
    assert!(refused(&format!("fn a() {{ {line} }}")).contains("no test runs it"));
    assert!(refused(&format!("#[test]\n#[ignore]\nfn a() {{ {line} }}")).contains("no test runs it"));
    assert!(refused("#[test]\nfn a() { page::line(text) }").contains("the words themselves"));
    assert_eq!(of(&format!("fn a() {{ {line} }}\n\n#[test]\nfn b() {{ a() }}")).len(), 1);
}

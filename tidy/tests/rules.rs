//! docs/HLS.md lists the checker's rules: its table is the one in `hls::rules`, row by row.
//!
//! `MASCARET_WRITE_RULES=1 cargo test -p tidy --test rules` writes the table anew.

use hls::rules::{RULES, Reach};
use std::fs;
use std::path::{Path, PathBuf};

const BEGIN: &str = "<!-- rules: written by tidy/tests/rules.rs -->\n";
const END: &str = "<!-- end of rules -->\n";

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/HLS.md")
}

fn table() -> String {
    let mut table =
        String::from("| rule | level | says | source | checked |\n| --- | --- | --- | --- | --- |\n");
    for rule in RULES {
        let checked = match rule.reach {
            Reach::Whole => "yes".to_string(),
            Reach::Partly(what) => format!("partly: {what}"),
            Reach::NotChecked(why) => format!("no: {why}"),
        };
        let cells = [rule.id.0, &rule.level.to_string(), rule.says, rule.source, &checked]
            .map(|cell| cell.replace('|', "\\|"));
        table.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    table
}

#[test]
fn the_page_has_every_rule_as_the_checker_has_it() {
    let text = fs::read_to_string(page()).expect("docs/HLS.md is there");
    let (before, rest) = text.split_once(BEGIN).expect("the table's beginning is marked");
    let (written, after) = rest.split_once(END).expect("the table's end is marked");
    if std::env::var_os("MASCARET_WRITE_RULES").is_some() {
        fs::write(page(), format!("{before}{BEGIN}{}{END}{after}", table()))
            .expect("docs/HLS.md can be written");
        return;
    }
    assert!(RULES.len() > 50);
    assert_eq!(written, table(), "write it anew: MASCARET_WRITE_RULES=1 cargo test -p tidy --test rules");
}

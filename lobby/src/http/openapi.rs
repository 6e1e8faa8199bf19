//! What the API is, for programs: OpenAPI 3.1 at `/api/openapi.json`, made of one table. A test asks every row of the
//! router, so that none is only written down.

use serde_json::{Map, Value, json};

/// What a field of a body is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Field {
    /// Text that must be there.
    Text(&'static str),
    /// Text that may.
    MayText(&'static str),
    /// A number that must.
    Number(&'static str),
    /// A number that may.
    MayNumber(&'static str),
    /// True or false that may.
    MayBe(&'static str),
    /// One of these, and whether it must.
    OneOf(&'static str, &'static [&'static str], bool),
}

/// One operation: method, path under `/api/v1`, what it does, its body, and the status when it is done.
pub(crate) struct Operation(
    pub(crate) &'static str,
    pub(crate) &'static str,
    pub(crate) &'static str,
    pub(crate) Option<&'static [Field]>,
    pub(crate) u16,
);

const ROLES: &[&str] = &["viewer", "moderator", "broadcaster", "admin"];
const SEEN: &[&str] = &["public", "unlisted", "private"];
use Field::{MayBe, MayNumber, MayText, Number, OneOf, Text};

/// All of them.
pub(crate) const OPERATIONS: &[Operation] = &[
    Operation(
        "post",
        "/accounts",
        "Sign up",
        Some(&[Text("name"), Text("password"), MayText("invite")]),
        202,
    ),
    Operation("get", "/accounts", "All accounts, by name (administrators)", None, 200),
    Operation("patch", "/accounts/{id}", "Give another role", Some(&[OneOf("role", ROLES, true)]), 204),
    Operation("delete", "/accounts/{id}", "Delete an account and all that is its", None, 204),
    Operation("post", "/session", "Sign in", Some(&[Text("name"), Text("password")]), 200),
    Operation("delete", "/session", "Sign out", None, 204),
    Operation("get", "/place", "Where this cluster is watched and published to", None, 200),
    Operation("get", "/me", "Who is signed in, and the session's token", None, 200),
    Operation("delete", "/me", "Delete one's own account", Some(&[Text("password")]), 204),
    Operation("delete", "/me/sessions", "Sign out everywhere", None, 204),
    Operation("put", "/me/password", "Change one's password", Some(&[Text("old"), Text("new")]), 200),
    Operation(
        "post",
        "/invites",
        "Make an invite",
        Some(&[OneOf("role", ROLES, false), Number("hours")]),
        201,
    ),
    Operation("get", "/invites", "Invites that were not used", None, 200),
    Operation("delete", "/invites/{digest}", "Take an invite back", None, 204),
    Operation(
        "post",
        "/broadcasts",
        "Make a broadcast",
        Some(&[Text("name"), MayText("title"), OneOf("visibility", SEEN, false)]),
        201,
    ),
    Operation("get", "/broadcasts", "Public broadcasts; with ?mine=true one's own", None, 200),
    Operation("get", "/broadcasts/{name}", "One broadcast", None, 200),
    Operation(
        "patch",
        "/broadcasts/{name}",
        "Change title or visibility",
        Some(&[MayText("title"), OneOf("visibility", SEEN, false)]),
        204,
    ),
    Operation(
        "get",
        "/broadcasts/{name}/health",
        "Whether it arrives, and what its publisher might mend",
        None,
        200,
    ),
    Operation("delete", "/broadcasts/{name}", "Delete a broadcast and all that is its", None, 204),
    Operation(
        "post",
        "/broadcasts/{name}/keys",
        "Make a publish key; shown once",
        Some(&[MayText("label")]),
        201,
    ),
    Operation("get", "/broadcasts/{name}/keys", "Its publish keys, without the keys", None, 200),
    Operation(
        "post",
        "/broadcasts/{name}/keys/rotate",
        "A new publish key in place of all others",
        Some(&[MayText("label")]),
        201,
    ),
    Operation(
        "delete",
        "/broadcasts/{name}/keys/{id}",
        "Revoke a publish key; who publishes by it is let go",
        None,
        204,
    ),
    Operation("post", "/broadcasts/{name}/ticket", "A ticket to watch", Some(&[MayText("link")]), 200),
    Operation("post", "/broadcasts/{name}/links", "Make a link to share", Some(&[Number("hours")]), 201),
    Operation("get", "/broadcasts/{name}/links", "Links that are shared, without the links", None, 200),
    Operation(
        "delete",
        "/broadcasts/{name}/links/{id}",
        "Take a link back; who watches by it is turned away",
        None,
        204,
    ),
    Operation("put", "/broadcasts/{name}/denials/{account}", "Turn an account away", None, 204),
    Operation("delete", "/broadcasts/{name}/denials/{account}", "Let it in again", None, 204),
    Operation(
        "post",
        "/broadcasts/{name}/messages",
        "Say something",
        Some(&[Text("text"), MayText("nonce")]),
        201,
    ),
    Operation("get", "/broadcasts/{name}/messages", "The newest lines, or those after ?after=", None, 200),
    Operation("delete", "/broadcasts/{name}/messages/{sequence}", "Take a message away", None, 204),
    Operation("get", "/broadcasts/{name}/restraints", "Who is muted or banned", None, 200),
    Operation(
        "put",
        "/broadcasts/{name}/restraints/{account}/{kind}",
        "Mute or ban",
        Some(&[MayNumber("seconds"), MayBe("clear")]),
        204,
    ),
    Operation("delete", "/broadcasts/{name}/restraints/{account}/{kind}", "No more of it", None, 204),
    Operation(
        "put",
        "/broadcasts/{name}/slow",
        "Set a room's pace; 0 for none",
        Some(&[Number("seconds")]),
        204,
    ),
    Operation(
        "post",
        "/broadcasts/{name}/webhooks",
        "Add a webhook; its secret is shown once",
        Some(&[Text("url")]),
        201,
    ),
    Operation("get", "/broadcasts/{name}/webhooks", "Its webhooks, and how each was told last", None, 200),
    Operation("delete", "/broadcasts/{name}/webhooks/{id}", "Remove a webhook", None, 204),
];

fn body(fields: &[Field]) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for field in fields {
        let (name, schema, must) = match field {
            Text(name) => (name, json!({ "type": "string" }), true),
            MayText(name) => (name, json!({ "type": ["string", "null"] }), false),
            Number(name) => (name, json!({ "type": "integer", "minimum": 0 }), true),
            MayNumber(name) => (name, json!({ "type": ["integer", "null"], "minimum": 0 }), false),
            MayBe(name) => (name, json!({ "type": "boolean" }), false),
            OneOf(name, of, must) => (name, json!({ "type": "string", "enum": of }), *must),
        };
        properties.insert((*name).into(), schema);
        if must {
            required.push(*name);
        }
    }
    let schema = json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false });
    json!({ "required": true, "content": { "application/json": { "schema": schema } } })
}

/// The document.
pub fn document() -> Value {
    let mut paths = Map::new();
    let refused = json!({ "$ref": "#/components/responses/Refused" });
    for Operation(method, path, summary, fields, status) in OPERATIONS {
        let parameters: Vec<Value> = path
            .split('/')
            .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
            .map(|name| {
                let schema = if name == "sequence" {
                    json!({ "type": "integer", "minimum": 0 })
                } else {
                    json!({ "type": "string" })
                };
                json!({ "name": name, "in": "path", "required": true, "schema": schema })
            })
            .collect();
        let mut operation = json!({
            "summary": summary, "parameters": parameters,
            "responses": { status.to_string(): { "description": "Done" }, "200": { "description": "Done" }, "default": refused },
        });
        if let Some(fields) = fields {
            operation["requestBody"] = body(fields);
        }
        let entry = paths.entry(format!("/api/v1{path}")).or_insert_with(|| json!({}));
        entry[*method] = operation;
    }
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Mascaret lobby", "version": "1.0.0",
                  "description": "Sign in with POST /api/v1/session; send its cookie, and its token as X-Mascaret-Token with whatever changes something." },
        "paths": paths,
        "components": { "responses": { "Refused": {
            "description": "Why not",
            "content": { "application/json": { "schema": {
                "type": "object", "required": ["error"],
                "properties": { "error": { "type": "object", "required": ["code", "says"],
                    "properties": { "code": { "type": "string" }, "says": { "type": "string" } } } } } } },
        } } },
    })
}

//! JSON Schema of both formats, from the tables that the readers use.

use serde_json::{Value, json};

use super::form::{Defs, Form};
use super::server::ServerSpec;
use super::spec::FileSpec;

/// JSON Schema (draft 2020-12) of a policy file. The copy under `docs/` is compared by a test.
pub fn policy_schema() -> Value {
    schema::<FileSpec>("Meridian policy file")
}

/// JSON Schema (draft 2020-12) of the server's configuration. The copy under `docs/` is compared by a
/// test.
pub fn server_schema() -> Value {
    schema::<ServerSpec>("Meridian server configuration")
}

fn schema<T: Form>(title: &str) -> Value {
    let mut defs = Defs::new();
    let root = T::schema(&mut defs);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        "$ref": root["$ref"],
        "$defs": defs,
    })
}

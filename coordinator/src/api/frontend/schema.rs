//! JSON Schemas of applications: shown to people and tools, never enforced on tasks (as published). So they are checked
//! for being schemas at all, when they are registered.

use flame_types::Schema;
use serde_json::Value;
use tonic::Status;

/// Checks each schema that is given.
///
/// # Errors
/// INVALID_ARGUMENT with the published beginning, and what is wrong.
pub fn check(schema: &Schema) -> Result<(), Status> {
    let parts = [("input", &schema.input), ("output", &schema.output), ("common data", &schema.common_data)];
    for (what, text) in parts {
        let Some(text) = text else { continue };
        check_one(text).map_err(|why| Status::invalid_argument(format!("invalid {what} schema: {why}")))?;
    }
    Ok(())
}

fn check_one(text: &str) -> Result<(), String> {
    let schema: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    jsonschema::meta::validate(&schema).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(schema: &Schema) -> String {
        let status = check(schema).unwrap_err();
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
        status.message().to_owned()
    }

    #[test]
    fn schemas_are_accepted() {
        let text = |text: &str| Some(text.to_owned());
        let schema = Schema {
            input: text(r#"{"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object"}"#),
            output: text(r#"{"$schema": "http://json-schema.org/draft-07/schema#", "type": "string"}"#),
            common_data: text("true"),
        };
        assert!(check(&schema).is_ok());
        assert!(check(&Schema::default()).is_ok());
    }

    #[test]
    fn what_ships_with_flame_keeps_the_rule() {
        for builtin in crate::builtins::builtins() {
            assert!(check(&builtin.spec.schema.unwrap_or_default()).is_ok(), "{}", builtin.name);
        }
    }

    #[test]
    fn what_is_no_schema_is_refused_by_its_published_name() {
        let bad = || Some(r#"{"type": 12}"#.to_owned());
        let input = Schema { input: bad(), ..Schema::default() };
        assert!(refused(&input).starts_with("invalid input schema: "));
        let output = Schema { output: bad(), ..Schema::default() };
        assert!(refused(&output).starts_with("invalid output schema: "));
        let common_data = Schema { common_data: bad(), ..Schema::default() };
        assert!(refused(&common_data).starts_with("invalid common data schema: "));
    }

    #[test]
    fn what_is_no_json_and_what_names_an_unknown_dialect_is_refused() {
        for text in ["", "{", "not json", r#"{"$schema": "http://example.com/nowhere"}"#] {
            refused(&Schema { input: Some(text.to_owned()), ..Schema::default() });
        }
    }
}

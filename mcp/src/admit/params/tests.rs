use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::refusal::code;

fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "region": { "type": "string", "x-mcp-header": "Region" },
            "limit": { "type": ["integer", "null"], "x-mcp-header": "Limit" },
            "where": {
                "type": "object",
                "properties": { "dry": { "type": "boolean", "x-mcp-header": "Dry-Run" } },
            },
            "query": { "type": "string", "default": { "x-mcp-header": "no annotation" } },
        },
    })
}

#[test]
fn annotations_become_headers_with_paths() {
    let found: Vec<_> = mcp_params(&schema())
        .unwrap()
        .into_iter()
        .map(|param| (param.header.to_string(), param.path.join("."), param.param_type))
        .collect();
    assert_eq!(
        found,
        [
            ("mcp-param-region".into(), "region".into(), ParamType::String),
            ("mcp-param-limit".into(), "limit".into(), ParamType::Integer),
            ("mcp-param-dry-run".into(), "where.dry".into(), ParamType::Boolean),
        ]
    );
    assert_eq!(mcp_params(&json!({ "properties": { "x-mcp-header": { "type": "object" } } })), Ok(vec![]));
    assert_eq!(mcp_params(&json!(true)), Ok(vec![]));
}

#[test]
fn each_rule_of_annotations_is_held() {
    let string = |name: Value| json!({ "type": "string", "x-mcp-header": name });
    let property = |sub: Value| json!({ "properties": { "a": sub } });
    for (row, schema) in [
        ("empty", property(string(json!("")))),
        ("space", property(string(json!("My Region")))),
        ("colon", property(string(json!("Region:")))),
        ("not ASCII", property(string(json!("Région")))),
        ("line end", property(string(json!("a\r\nb")))),
        ("no string", property(string(json!(5)))),
        ("object", property(json!({ "type": "object", "x-mcp-header": "A" }))),
        ("array", property(json!({ "type": "array", "x-mcp-header": "A" }))),
        ("null", property(json!({ "type": "null", "x-mcp-header": "A" }))),
        ("number", property(json!({ "type": "number", "x-mcp-header": "A" }))),
        ("two types", property(json!({ "type": ["string", "integer"], "x-mcp-header": "A" }))),
        ("no type", property(json!({ "x-mcp-header": "A" }))),
        ("on the root", string(json!("A"))),
        ("same name", json!({ "properties": { "a": string(json!("X")), "b": string(json!("X")) } })),
        (
            "same name, other case",
            json!({ "properties": { "a": string(json!("X")), "b": string(json!("x")) } }),
        ),
        ("under items", property(json!({ "type": "array", "items": string(json!("A")) }))),
        ("under items, in a property", property(json!({ "items": property(string(json!("A"))) }))),
        ("under oneOf", json!({ "oneOf": [property(string(json!("A")))] })),
        ("under if", json!({ "if": property(string(json!("A"))) })),
        ("under not", json!({ "not": property(string(json!("A"))) })),
        ("under $defs", json!({ "$defs": { "d": string(json!("A")) } })),
        ("under patternProperties", json!({ "patternProperties": { "^a": string(json!("A")) } })),
        ("under additionalProperties", json!({ "additionalProperties": string(json!("A")) })),
    ] {
        let error = mcp_params(&schema).expect_err(row);
        assert!(error.to_string().starts_with("invalid x-mcp-header at inputSchema"), "{row}: {error}");
    }
}

#[test]
fn headers_have_to_repeat_the_arguments() {
    let params = mcp_params(&schema()).unwrap();
    for (row, arguments, fields, fine) in [
        ("nothing on either side", r#"{"query":"x"}"#, vec![], true),
        ("no arguments at all", "", vec![], true),
        ("null expects no header", r#"{"region":null,"limit":null}"#, vec![], true),
        ("same text", r#"{"region":"us"}"#, vec![("Mcp-Param-Region", "us")], true),
        ("empty text", r#"{"region":""}"#, vec![("Mcp-Param-Region", "")], true),
        ("escaped text", r#"{"region":"\u0075s"}"#, vec![("Mcp-Param-Region", "us")], true),
        ("encoded text", r#"{"region":"ü"}"#, vec![("Mcp-Param-Region", "=?base64?w7w=?=")], true),
        ("whitespace around", r#"{"region":"us"}"#, vec![("Mcp-Param-Region", " us\t")], true),
        ("bare non-ASCII", r#"{"region":"ü"}"#, vec![("Mcp-Param-Region", "ü")], false),
        ("bad padding", r#"{"region":"us"}"#, vec![("Mcp-Param-Region", "=?base64?dXM?=")], false),
        ("bad alphabet", r#"{"region":"us"}"#, vec![("Mcp-Param-Region", "=?base64?d!M=?=")], false),
        ("other text", r#"{"region":"us"}"#, vec![("Mcp-Param-Region", "eu")], false),
        ("other case", r#"{"region":"us"}"#, vec![("Mcp-Param-Region", "US")], false),
        ("missing", r#"{"region":"us"}"#, vec![], false),
        (
            "repeated",
            r#"{"region":"us"}"#,
            vec![("Mcp-Param-Region", "us"), ("mcp-param-region", "us")],
            false,
        ),
        ("header only", r#"{}"#, vec![("Mcp-Param-Region", "us")], false),
        ("header for null", r#"{"region":null}"#, vec![("Mcp-Param-Region", "null")], false),
        ("argument twice", r#"{"region":"us","region":"eu"}"#, vec![("Mcp-Param-Region", "us")], false),
        ("same number", r#"{"limit":42}"#, vec![("Mcp-Param-Limit", "42")], true),
        ("number with zeros", r#"{"limit":42}"#, vec![("Mcp-Param-Limit", "42.0")], true),
        ("zeros in the body", r#"{"limit":42.00}"#, vec![("Mcp-Param-Limit", "42")], true),
        ("exponent", r#"{"limit":1e2}"#, vec![("Mcp-Param-Limit", "100")], true),
        (
            "large numbers are exact",
            r#"{"limit":9007199254740993}"#,
            vec![("Mcp-Param-Limit", "9007199254740992")],
            false,
        ),
        ("other number", r#"{"limit":42}"#, vec![("Mcp-Param-Limit", "43")], false),
        ("no number", r#"{"limit":42}"#, vec![("Mcp-Param-Limit", "many")], false),
        ("text is not compared as a number", r#"{"region":"42"}"#, vec![("Mcp-Param-Region", "42.0")], false),
        ("nested", r#"{"where":{"dry":true}}"#, vec![("Mcp-Param-Dry-Run", "true")], true),
        ("nested, differs", r#"{"where":{"dry":true}}"#, vec![("Mcp-Param-Dry-Run", "True")], false),
        ("nested in no object", r#"{"where":"here"}"#, vec![], true),
        ("unknown headers are ignored", r#"{}"#, vec![("Mcp-Param-Other", "\u{1}")], true),
    ] {
        let got = check_params(&params, arguments.as_bytes(), &fields[..]);
        assert_eq!(got.is_ok(), fine, "{row}: {got:?}");
        if let Err(refusal) = got {
            assert_eq!((refusal.status, refusal.code), (400, Some(code::HEADER_MISMATCH)), "{row}");
        }
    }
}

#[test]
fn fields_are_written_as_they_are_checked() {
    let params = mcp_params(&schema()).unwrap();
    let arguments = r#"{"limit":42.0,"region":" ü","where":{"dry":false},"query":"q"}"#.as_bytes();
    let mut fields = Vec::new();
    param_fields(&params, arguments, &mut |name, value| fields.push((name.to_owned(), value.to_owned())));
    let want =
        [("mcp-param-region", "=?base64?IMO8?="), ("mcp-param-limit", "42"), ("mcp-param-dry-run", "false")];
    assert_eq!(fields, want.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(check_params(&params, arguments, &fields[..]), Ok(()));
}

proptest! {
    #[test]
    fn any_argument_passes_with_the_fields_derived_from_it(
        region in proptest::option::of(any::<String>()),
        limit in proptest::option::of(any::<i64>()),
        dry in proptest::option::of(any::<bool>()),
    ) {
        let params = mcp_params(&schema()).unwrap();
        let arguments = json!({ "region": region, "limit": limit, "where": { "dry": dry } }).to_string();
        let mut fields = Vec::new();
        let mut keep = |name: &str, value: &str| fields.push((name.to_owned(), value.to_owned()));
        param_fields(&params, arguments.as_bytes(), &mut keep);
        prop_assert_eq!(check_params(&params, arguments.as_bytes(), &fields[..]), Ok(()));
        prop_assert_eq!(
            fields.len(),
            usize::from(region.is_some()) + usize::from(limit.is_some()) + usize::from(dry.is_some()),
        );
    }

    #[test]
    fn broken_arguments_never_panic(arguments in proptest::collection::vec(any::<u8>(), 0..60)) {
        let params = mcp_params(&schema()).unwrap();
        let fields: [(&str, &[u8]); 1] = [("mcp-param-region", &arguments)];
        let _ = check_params(&params, &arguments, &fields[..]);
        param_fields(&params, &arguments, &mut |name, _| assert!(name.starts_with("mcp-param-")));
    }
}

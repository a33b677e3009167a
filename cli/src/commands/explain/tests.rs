use omcp_proto::v1::RuntimeType;
use serde_json::json;

use super::*;

fn schema() -> Json {
    json!({
        "type": "object",
        "description": "Starts a process.",
        "required": ["command"],
        "properties": {
            "command": {"type": "string", "description": "The program."},
            "args": {"type": "array", "items": {"type": "string"}, "default": []},
            "mode": {"anyOf": [{"$ref": "#/$defs/Mode"}, {"type": "null"}]},
            "limits": {"$ref": "#/$defs/Limits"},
            "mounts": {"type": "array", "items": {"$ref": "#/$defs/Mount"}},
            "headers": {"type": "object", "additionalProperties": {"type": "string"}},
            "port": {"type": ["integer", "null"], "minimum": 1, "maximum": 65535, "default": 80},
            "tls": {"anyOf": [{"type": "boolean"}, {"$ref": "#/$defs/Tls"}]},
            "own": {"$ref": "#/$defs/Own"}
        },
        "$defs": {
            "Mode": {"oneOf": [
                {"const": "fast", "description": "Asks nobody."},
                {"const": "slow", "description": "Asks twice."}
            ]},
            "Limits": {"type": "object", "properties": {"calls": {"type": "integer", "minimum": 1}}},
            "Mount": {"type": "object", "required": ["source"], "properties": {
                "source": {"type": "string", "description": "On the node."}
            }},
            "Tls": {"title": "Tls", "type": "object", "properties": {"ca": {"type": "string"}}},
            "Own": {"type": "object", "properties": {"own": {"$ref": "#/$defs/Own"}}}
        }
    })
}

fn offered(version: &str, nodes: &[&str]) -> OfferedRuntimeType {
    let kind = RuntimeType {
        name: "x".into(),
        origin: "custom".into(),
        version: version.into(),
        settings_schema_json: schema().to_string(),
        ..RuntimeType::default()
    };
    OfferedRuntimeType { r#type: Some(kind), nodes: nodes.iter().map(|node| (*node).to_owned()).collect() }
}

fn page(path: &str, chosen: &Chosen) -> String {
    let schema = schema();
    let target = path.split('.').skip(1).try_fold(Schema::new(&schema), |schema, part| schema.setting(part));
    let target = target.unwrap_or_else(|failure| panic!("{}", failure.why));
    anstream::adapter::strip_str(&page::page(path, chosen, target)).to_string()
}

#[test]
fn a_page() {
    let chosen = choose("x", None, vec![offered("1", &["a", "b"])]).unwrap();
    let text = page("x", &chosen);
    let want = "\
x   mapping
  custom 1, offered by a, b
  Starts a process.

Settings
  command   text, required
      The program.
  args   list of text, default []
  mode   one of fast, slow
      fast: Asks nobody.
      slow: Asks twice.
  limits   mapping
      calls   whole number, 1 or more
  mounts   list of mapping
      source   text, required
          On the node.
  headers   mapping to text
  port   whole number, 1 to 65535, default 80
  tls   true or false or mapping
      Tls:
          ca   text
  own   mapping
      own   mapping
";
    assert!(text.starts_with(want), "{text}");
}

#[test]
fn a_setting() {
    let chosen = choose("x", None, vec![offered("1", &[])]).unwrap();
    assert_eq!(
        page("x.mounts.source", &chosen),
        "x.mounts.source   text, required\n  custom 1, no connected node offers it\n  On the node.\n"
    );
    let schema = schema();
    let failure = Schema::new(&schema).setting("comand").map(|_| ()).unwrap_err();
    assert!(failure.why.contains("did you mean command?"), "{}", failure.why);
}

#[test]
fn of_several_versions_the_newest_or_that_of_a_node() {
    let types = || vec![offered("2", &["b"]), offered("1", &["a", "c"])];
    let newest = choose("x", None, types()).unwrap();
    assert!(
        page("x", &newest)
            .contains("custom 2, offered by b\n  1 other version: custom 1 on a, c (--node a)\n")
    );
    let older = choose("x", Some("c"), types()).unwrap();
    assert!(
        page("x", &older)
            .contains("custom 1, offered by a, c\n  1 other version: custom 2 on b (--node b)\n")
    );
    let failure = choose("x", Some("d"), types()).map(|_| ()).unwrap_err();
    assert_eq!((failure.cause, failure.why.as_str()), (Cause::NotFound, "node d does not offer it"));
    let failure = choose("xx", None, types()).map(|_| ()).unwrap_err();
    assert_eq!(&*failure.fix, "did you mean x?");
}

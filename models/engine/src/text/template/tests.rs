use std::time::{Duration, Instant};

use super::*;
use crate::codec::ToolCall;

/// An end within a second or two, on a processor that has better things to do. The alternative is none.
const PATIENCE: Duration = Duration::from_secs(60);

fn message(role: &str, content: &str) -> ChatMessage {
    ChatMessage::new(role, content)
}

fn render(source: &str, messages: &[ChatMessage]) -> Result<String, CodecError> {
    ChatTemplate::compile(source, "<s>", "</s>").expect("parses").render(messages, &[], true)
}

#[test]
fn templates_see_what_transformers_gives_them() {
    let hello = [message("user", " <Grüße> \"x\" ")];
    let cases = [
        ("{{ bos_token }}{{ messages[0]['content'].strip() }}{{ eos_token }}", "<s><Grüße> \"x\"</s>"),
        ("{% if add_generation_prompt %}\n  A:\n{% endif %}\n", "  A:\n"),
        ("{{ {'a': [1, messages[0].role]} | tojson }}", r#"{"a": [1, "user"]}"#),
        ("{{ ('<' ~ \"'\") | tojson }}", "\"<'\""),
        ("{{ [1] | tojson(indent=2) }}", "[\n  1\n]"),
        ("{% for m in [1, 2, 3] %}{% if m == 2 %}{% break %}{% endif %}{{ m }}{% endfor %}", "1"),
        ("{{ tools is defined }}{% if tools %}no{% endif %}", "False"),
        ("{{ messages[0].role.upper() }}{{ 'ab'.startswith('a') }}", "USERTrue"),
        (
            "{% set n = namespace(x=1) %}{% for i in [1, 2] -%} {% set n.x = n.x + i if i else 0 -%} {% endfor %}{{ n.x }}",
            "4",
        ),
        ("{% set n = namespace() %}{% set (n.a, b) = [1], {'k': 2} %}{{ n.a }}{{ b.k }}", "[1]2"),
        ("{% set n = namespace() %}{% set n.a | replace('x', 'y') %}=x.{% endset %}{{ n.a }}", "=y."),
        ("{% set n = namespace() %}{% set n.a = messages[0] %}{{ n.a.role }}", "user"),
        (
            "{% macro f(x, y=2) %}{{ x }}{{ y }}{% endmacro %}{{ f(1) }}{{ f(1, y=3) }}{{ f(1, *[4]) }}",
            "121314",
        ),
        ("{% for x in [[1, [2]]] recursive %}{{ loop(x) if x is iterable else x }},{% endfor %}", "1,2,,,"),
        ("{% for m in [] %}no{% else %}{{ 1 < 2 < 3 and [1, 2, 3][1:] == [2, 3] }}{% endfor %}", "True"),
        ("{{ ([1] + [2] * 2)[-1] }}{{ 'a,b'.split(',')[1] }}{{ 'abc' | replace('b', 'x') }}", "2baxc"),
        ("{% block x %}{{ messages | length }}{% endblock %}", "1"),
    ];
    for (source, expected) in cases {
        assert_eq!(render(source, &hello).as_deref(), Ok(expected), "{source}");
    }
}

fn with_tools(source: &str, messages: &[ChatMessage]) -> Result<String, CodecError> {
    let parameters = r#"{"type": "object", "b": 1, "a": [2.0]}"#.to_owned();
    let tools = [Tool { name: "find".to_owned(), description: String::new(), parameters }];
    ChatTemplate::compile(source, "<s>", "</s>").expect("parses").render(messages, &tools, true)
}

fn called(arguments: &str) -> ChatMessage {
    let call = ToolCall { id: "c1".to_owned(), name: "find".to_owned(), arguments: arguments.to_owned() };
    ChatMessage { tool_calls: vec![call], ..message("assistant", "Well.") }
}

#[test]
fn templates_that_know_tools_see_what_transformers_gives_them() {
    let cases = [
        (
            "{{ tools | tojson }}",
            r#"[{"type": "function", "function": {"name": "find", "parameters": {"type": "object", "b": 1, "a": [2.0]}}}]"#,
        ),
        ("{% if not tools is defined %}{% set tools = none %}{% endif %}{{ tools | length }}", "1"),
        (
            "{% macro names(x) %}{% for t in x %}{{ t.function.name }}{% endfor %}{% endmacro %}{{ names(tools) }}",
            "find",
        ),
        (
            "{% if tools %}{% set call = messages[0].tool_calls[0] %}{{ call.id }}{{ call.function.arguments.q }}{% endif %}",
            "c17",
        ),
        (
            "{% if tools %}{{ messages[1].tool_call_id }}{{ messages[0].tool_call_id is defined }}{% endif %}",
            "c1False",
        ),
    ];
    let result = ChatMessage { tool_call_id: "c1".to_owned(), ..message("tool", "3") };
    let turns = [called(r#"{"q": 7}"#), result];
    for (source, expected) in cases {
        assert_eq!(with_tools(source, &turns).as_deref(), Ok(expected), "{source}");
    }
}

#[test]
fn what_is_no_json_is_refused() {
    for source in ["{{ tools | tojson }}", "{{ messages[0].content }}"] {
        let refused = with_tools(source, &[called("{")]);
        assert!(matches!(&refused, Err(CodecError::Template(why)) if why.contains("find")), "{refused:?}");
    }
}

#[test]
fn a_template_can_refuse() {
    let refused = render("{{ raise_exception('roles must alternate') }}", &[]);
    assert_eq!(refused, Err(CodecError::Template("roles must alternate".to_owned())));
}

#[test]
fn hostile_templates_end() {
    let sources = [
        "{% for a in range(99999) %}{% for b in range(99999) %}{{ a * b }}{% endfor %}{% endfor %}",
        "{% set n = namespace(x='aaaaaaaa') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x }}",
        "{{ 'a' * 100000000000 }}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{{ '{:>999999999}'.format(1) }}",
        "{% set n = namespace() %}{% for i in range(90000) %}{% set n.x = [n.x] %}{% endfor %}",
        "{% set n = namespace(x=[1]) %}{% for i in range(90000) %}{% set n.x, y = n.x | batch(1), 1 %}{% endfor %}",
    ];
    for source in sources {
        let start = Instant::now();
        assert!(matches!(render(source, &[]), Err(CodecError::Template(_))), "{source}");
        assert!(start.elapsed() < PATIENCE, "{source}");
    }
}

/// Each kept a thread busy, or filled memory, for as long as anybody cared to wait.
#[test]
fn lists_that_hold_a_list_twice_many_times_over_end() {
    let twice = format!("{{% set a = [1] %}}{}", "{% set a = [a, a] %}".repeat(40));
    let uses = [
        "{{ a }}",
        "{{ a ~ '' }}",
        "{{ [a] | tojson }}",
        "{{ a | string }}",
        "{{ a | join | length }}",
        "{{ 'x' | replace(a, 'y') }}",
        "{{ ['x'] | map('replace', a, 'y') | list }}",
        "{{ {a: 1} | length }}",
        "{{ {}[a] }}",
        "{{ {'k': 1}.get(a) }}",
        "{{ 1 in [a] or a in [1] or a in 'x' }}",
        "{{ 1 if a is eq(1) }}",
        "{{ namespace(x=a) }}",
        "{% set n = namespace() %}{% set n.x = a %}",
        "{% macro f(x) %}{{ x }}{% endmacro %}{{ f(a) }}",
        "{{ 'x'.replace('x', '-'.join(*a)) }}",
        "{% block x %}{{ a }}{% endblock %}",
        "{{ (['a' * 999999] * 99999) | join }}",
        "{{ '-'.join(['a' * 999999] * 99999) }}",
        "{{ ('-' * 999999).join(['a'] * 99999) }}",
        "{{ ('-' * 999999).replace('-', 'a' * 999999) }}",
        "{{ ('-' * 999999) | replace('-', 'a' * 999999) }}",
        "{{ ['a' * 999999] * 99999 }}",
        "{{ [1] | batch(999999999, 0) }}",
        "{{ [1] | slice(999999999) }}",
        "{{ 'a\\na' | indent(999999999) }}",
        "{{ '%999999999d' | format(1) }}",
        "{{ ([[1]] * 999999) | sum(start=[]) }}",
        "{{ range(99999) | map('replace', '1', 'x' * 999999) | list }}",
    ];
    let compared = twice.replace(" a", " b").replace("[a, b]", "[b, b]") + "{{ a == b }}";
    let sums = "{% set a = a + a %}".repeat(40);
    let mut sources: Vec<String> = uses.iter().map(|usage| format!("{twice}{usage}")).collect();
    sources.push(format!("{twice}{compared}"));
    sources.push(format!("{{% set a = [1] %}}{sums}{{{{ a | length }}}}"));
    sources.push("{{ [[[[1] * 9999] * 9999] * 9999] * 9999 }}".to_owned());
    let deep = "{% set a = [a] %}".repeat(2000);
    sources.push(format!("{{% set a = [1] * 99999 %}}{deep}{{{{ a | tojson(indent=16) }}}}"));
    for source in sources {
        let start = Instant::now();
        assert!(matches!(render(&source, &[]), Err(CodecError::Template(_))), "{source}");
        assert!(start.elapsed() < PATIENCE, "{source}");
    }
    let empty = format!("{{% set a = [] %}}{sums}{{{{ a | length }}}}");
    assert_eq!(render(&empty, &[]).as_deref(), Ok("0"));
}

/// Each ended the process once: a stack that overflows is no panic.
#[test]
fn deep_templates_leave_the_stack_alone() {
    let most = |start: &str, part: &str, end: &str| {
        format!("{start}{}{end}", part.repeat((MAX_SOURCE - start.len() - end.len()) / part.len()))
    };
    let sources = [
        "{% set n = namespace() %}{% set n.x = n %}{{ n }}{{ n | tojson }}{{ n == n }}{{ {n: n} }}"
            .to_owned(),
        most("{{ 1", "+1", " }}"),
        most("{{ a", ".b", " }}"),
        most("{{ 'a'", "|list", " }}"),
        most("{{ ", "not ", "1 }}"),
        most("{{ ", "-", "1 }}"),
        most("{% if a %}", "{% elif a %}", "{% endif %}"),
        most("{% set a = 1 %}", "{%set a=[a]%}", "{{ a }}{{ a | tojson }}{{ a == [a] }}"),
    ];
    for source in sources {
        if let Ok(template) = ChatTemplate::compile(&source, "", "") {
            let _ = template.render(&[message("user", "x")], &[], true);
        }
    }
    assert!(ChatTemplate::compile(&"a".repeat(MAX_SOURCE + 1), "", "").is_err());
}

#[test]
fn without_a_template_one_message_is_plain_text() {
    assert_eq!(plain(&[message("user", "2 + 2 =")], true), "2 + 2 =");
    let two = [message("system", "Be brief."), message("user", "Hi")];
    assert_eq!(plain(&two, true), "system: Be brief.\n\nuser: Hi\n\nassistant:");
}

#[test]
fn dates_are_written_as_python_does() {
    let cases = [
        (0, "%Y-%m-%d %A", "1970-01-01 Thursday"),
        (951_827_696, "%d %b %Y %H:%M:%S", "29 Feb 2000 12:34:56"),
        (1_735_689_599, "%B %d, %y (%a) 100%% %q", "December 31, 24 (Tue) 100% %q"),
    ];
    for (seconds, format, expected) in cases {
        assert_eq!(strftime(format, seconds), expected);
    }
}
